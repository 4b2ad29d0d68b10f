"""What a release is made of agrees with the sources; the workflows run only what exists."""

import hashlib
import pathlib
import re
import tomllib
from typing import Any

import pytest
import yaml

import sidecar_injector
from tools.controlplane import errors, release
from tools.releasing import files, krew

ROOT = pathlib.Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*"))
CHART = yaml.safe_load((release.CHART / "Chart.yaml").read_text())


def workflow(path: pathlib.Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text())
    assert isinstance(document, dict)
    return document


def steps() -> list[dict[str, Any]]:
    jobs = [job for path in WORKFLOWS for job in workflow(path)["jobs"].values()]
    return [step for job in jobs for step in job.get("steps", ())]


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.name}: {name}", job)
        for path in WORKFLOWS
        for name, job in workflow(path)["jobs"].items()
    ]


def test_there_are_two_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yaml", "release.yaml"]


def test_every_target_that_a_workflow_makes_exists() -> None:
    targets = set(re.findall(r"(?m)^([a-z0-9]+):.*## ", (ROOT / "Makefile").read_text()))
    made = {
        word for step in steps() for word in re.findall(r"(?m)^make (\S+)", step.get("run", ""))
    }
    assert made == {"check", "test", "e2e", "dist"}
    assert made <= targets


def test_every_file_that_a_workflow_names_exists() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    named = set(re.findall(r"(?:\./)?((?:tools|requirements|docs|\.github)/[\w./*-]+)", text))
    assert len(named) >= 6
    for pattern in named:
        assert list(ROOT.glob(pattern.rstrip("."))), pattern


def test_every_action_is_pinned_to_a_commit_whose_version_is_beside_it() -> None:
    pattern = re.compile(r"uses: ([\w.-]+/[\w.-]+)@(\S+)(?: # (\S+))?$")
    lines = [
        line.strip().removeprefix("- ")
        for path in WORKFLOWS
        for line in path.read_text().splitlines()
        if "uses: " in line and "uses: ./" not in line
    ]
    pins: dict[str, set[tuple[str, str]]] = {}
    for line in lines:
        match = pattern.match(line)
        assert match, line
        assert re.fullmatch(r"[0-9a-f]{40}", match[2]), line
        assert re.fullmatch(r"v\d+\.\d+\.\d+", match[3] or ""), line
        pins.setdefault(match[1], set()).add((match[2], match[3]))
    assert len(pins) >= 8
    assert {action for action, versions in pins.items() if len(versions) > 1} == set()


@pytest.mark.parametrize(("name", "job"), jobs(), ids=[name for name, _ in jobs()])
def test_a_job_has_its_own_rights_and_an_end(name: str, job: dict[str, Any]) -> None:
    assert job["permissions"], name
    if "uses" not in job:
        assert 0 < job["timeout-minutes"] <= 75


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_rights_of_its_own_and_runs_once(path: pathlib.Path) -> None:
    assert workflow(path)["permissions"] == {}
    assert workflow(path)["concurrency"]["group"]


def test_only_jobs_that_publish_may_write() -> None:
    writing = {name for name, job in jobs() if "write" in job["permissions"].values()}
    assert writing == {f"release.yaml: {name}" for name in ("image", "chart", "python", "publish")}


def test_nothing_is_published_before_ci_has_passed() -> None:
    needs = {
        name: {job["needs"]} if isinstance(job.get("needs"), str) else set(job.get("needs", ()))
        for name, job in workflow(WORKFLOWS[1])["jobs"].items()
    }

    def before(name: str) -> set[str]:
        return needs[name].union(*(before(each) for each in needs[name]))

    for name in ("files", "image", "chart", "python", "publish"):
        assert "ci" in before(name), name


def test_no_expression_is_pasted_into_a_script() -> None:
    # A tag or branch with quotes in its name would be run by the shell.
    assert [step["run"] for step in steps() if "${{" in step.get("run", "")] == []


def test_all_files_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    (label,) = re.findall(r"(?m)^ARG VERSION=(\S+)$", dockerfile)
    (image,) = yaml.safe_load(CHART["annotations"]["artifacthub.io/images"])
    versions = {
        "pyproject.toml": project["version"],
        "Chart.yaml version": CHART["version"],
        "Chart.yaml appVersion": CHART["appVersion"],
        "Chart.yaml image": image["image"].rpartition(":")[2],
        "Dockerfile": label,
        "krew": yaml.safe_load(
            krew.manifest({}, number=files.version(), repository="https://example.com")
        )["spec"]["version"].removeprefix("v"),
    }
    assert set(versions.values()) == {sidecar_injector.__version__}, versions


def test_another_version_than_the_tag_is_refused() -> None:
    assert files.version(sidecar_injector.__version__) == sidecar_injector.__version__
    with pytest.raises(errors.BuildError, match=r"the version of the sources is \d"):
        files.version("99.0.0")


def test_the_notes_are_the_section_of_the_version() -> None:
    text = "# C\n\n## Unreleased\n\n- a\n\n## 0.2.0 - 2026-12-01\n\n- b\n\n## 0.1.0\n\n- c\n"
    assert files.notes(text, "0.2.0") == "- b\n"
    with pytest.raises(errors.BuildError, match=r"no section of this version"):
        files.notes(text, "0.3.0")


def test_the_checksums_are_of_all_files_but_the_notes(tmp_path: pathlib.Path) -> None:
    for name in ("b.whl", "a.tgz", files.NOTES):
        (tmp_path / name).write_text(name)
    files.checksums(tmp_path)
    wanted = [f"{hashlib.sha256(n.encode()).hexdigest()}  {n}" for n in ("a.tgz", "b.whl")]
    assert (tmp_path / files.CHECKSUMS).read_text().splitlines() == wanted


def test_an_old_file_is_not_published(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "dist"
    files.clear(folder)
    (folder / "sidecar_injector-0.0.1-py3-none-any.whl").touch()
    files.clear(folder)
    assert list(folder.iterdir()) == []
