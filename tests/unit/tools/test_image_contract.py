"""What the Dockerfile and .dockerignore promise to users, to the chart and to a read-only root."""

from __future__ import annotations

import json
import pathlib
import re
import shlex

import pytest
import yaml

import sidecar_injector
from sidecar_injector import names
from tools.image import recipe

ROOT = pathlib.Path(__file__).resolve().parents[3]
VALUES = yaml.safe_load((ROOT / "charts/sidecar-injector/values.yaml").read_text())
DEPLOYMENT = (ROOT / "charts/sidecar-injector/templates/deployment.yaml").read_text()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, with continued lines joined and comments left out."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = [line.partition(" ") for line in joined.splitlines() if line]
    return [(word, " ".join(rest.split())) for word, _, rest in pairs]


def final() -> dict[str, str]:
    """Of the last stage, whose instructions are each used once (COPY of a stage aside)."""
    everything = instructions()
    start = max(index for index, (word, _) in enumerate(everything) if word == "FROM")
    return dict(everything[start:])


def arguments(word: str) -> list[str]:
    return [rest for each, rest in instructions() if each == word]


def test_it_runs_as_the_numeric_user_of_the_chart() -> None:
    # Numeric: the kubelet cannot tell by a name that it is not root.
    context = VALUES["podSecurityContext"]
    assert final()["USER"] == f"{context['runAsUser']}:{context['runAsGroup']}" == "65532:65532"


def test_it_starts_what_the_chart_starts() -> None:
    started = json.loads(final()["ENTRYPOINT"]), json.loads(final()["CMD"])
    assert started == (["sidecar-injector"], ["run"])
    assert "command: [sidecar-injector]\n" in DEPLOYMENT
    assert re.search(r"args:\n +- run\n", DEPLOYMENT)


def test_its_ports_are_those_of_the_chart() -> None:
    ports = {VALUES["settings"]["adminPort"], VALUES["webhook"]["securePort"]}
    assert set(final()["EXPOSE"].split()) == {*map(str, ports)}


def test_its_labels_name_product_version_and_licence() -> None:
    labels = dict(pair.split("=", 1) for pair in shlex.split(final()["LABEL"]))
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == names.PRODUCT
    assert labels[f"{prefix}version"] == "${VERSION}"
    assert f"VERSION={sidecar_injector.__version__}" in arguments("ARG")
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert labels[f"{prefix}description"]


def test_a_builder_says_where_the_sources_are_from() -> None:
    labels = dict(pair.split("=", 1) for pair in shlex.split(final()["LABEL"]))
    for name in ("revision", "created", "source"):
        assert labels[f"org.opencontainers.image.{name}"] == f"${{{name.upper()}}}"
        assert f'{name.upper()}=""' in arguments("ARG")


def test_every_architecture_builds_the_same_file() -> None:
    # A builder sets TARGETARCH and its like only where ARG declares them; none is needed here.
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"TARGET|BUILDPLATFORM|--platform|amd64|x86_64|arm64|aarch64", text)


def test_no_base_is_whatever_is_latest() -> None:
    stages = {rest.split()[-1] for rest in arguments("FROM") if " AS " in rest}
    (base,) = (rest for rest in arguments("ARG") if rest.startswith("BASE="))
    assert re.fullmatch(r"BASE=[a-z]+:\d+-slim", base)
    assert {rest.split()[0] for rest in arguments("FROM")} <= {*stages, "${BASE}"}


def test_nothing_is_installed_without_a_hash() -> None:
    commands = [part for run in arguments("RUN") for part in run.split("&&") if "pip" in part]
    installs = [shlex.split(part) for part in commands if " install " in part and "-m pip" in part]
    assert len(installs) == 3
    for words in installs:
        assert "--require-hashes" in words or {"--no-index", "--no-deps"} <= set(words), words


def test_only_what_the_image_is_made_of_reaches_the_builder() -> None:
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert patterns[0] == "*"
    # The last pattern that matches decides, so what Python leaves stays out of the folders let in.
    let_in = [line.removeprefix("!") for line in patterns if line.startswith("!")]
    assert set(let_in) == {*recipe.CONTEXT, recipe.WHEELS}
    assert patterns[len(let_in) + 1 :] == ["**/__pycache__", "**/*.pyc"]
    for forbidden in (".git", ".venv", "tests", "tools", "requirements"):
        assert forbidden not in let_in


def test_everything_that_is_copied_has_been_let_in() -> None:
    sources = [
        source
        for rest in arguments("COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    for source in sources:
        assert any(
            allowed == source or allowed.startswith(f"{source}/") for allowed in recipe.CONTEXT
        ), source
        assert (ROOT / source).exists(), source


def test_a_build_context_holds_sources_and_wheels_and_nothing_else(tmp_path: pathlib.Path) -> None:
    house = tmp_path / "house"
    house.mkdir()
    (house / "one-1-py3-none-any.whl").touch()
    recipe.stage(tmp_path / "context", wheels=house)
    paths = {path.relative_to(tmp_path / "context") for path in (tmp_path / "context").rglob("*")}
    files = {path.as_posix() for path in paths}
    assert {path.parts[0] for path in paths} == {
        *(name.partition("/")[0] for name in recipe.CONTEXT),
        *recipe.INSTRUCTIONS,
    }
    assert "operator/sidecar_injector/app.py" in files
    assert f"{recipe.WHEELS}/one-1-py3-none-any.whl" in files
    assert not [name for name in files if name.endswith(".pyc")]


@pytest.mark.parametrize("changed", ["Dockerfile", "operator/a.py", "requirements/run.txt"])
def test_another_content_is_another_image(
    changed: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "ROOT", tmp_path)
    for name in (*recipe.INSTRUCTIONS, *recipe.LOCKS, "operator/a.py", "requirements/dev.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    before = recipe.image_key()
    (tmp_path / "requirements/dev.txt").write_text("two")
    (tmp_path / "operator/__pycache__").mkdir()
    (tmp_path / "operator/__pycache__/a.pyc").write_text("two")
    assert recipe.image_key() == before
    (tmp_path / changed).write_text("two")
    assert recipe.image_key() != before
