"""Every package of the image has a wheel for both architectures: `make wheels` lists them."""

from __future__ import annotations

import re

import packaging.utils
import pytest

from tools.image import recipe, wheels

LISTED = [line.split(" ") for line in (recipe.ROOT / wheels.LIST).read_text("utf-8").splitlines()]
"""Architecture, file name and hash."""


def locked() -> dict[tuple[str, str], set[str]]:
    """The hashes that the image's lock files accept, by package and version."""
    result: dict[tuple[str, str], set[str]] = {}
    for lock in recipe.LOCKS:
        text = (recipe.ROOT / lock).read_text("utf-8")
        for entry in re.findall(r"(?m)^[a-z].*(?:\n .*)*", text):
            name, _, version = entry.split()[0].partition("==")
            key = packaging.utils.canonicalize_name(name), version
            result.setdefault(key, set()).update(re.findall(r"sha256:[0-9a-f]{64}", entry))
    return result


@pytest.mark.parametrize("machine", wheels.MACHINES)
def test_each_locked_package_has_a_wheel_that_the_lock_accepts(machine: str) -> None:
    hashes = locked()
    listed = {}
    for _, file, digest in (line for line in LISTED if line[0] == machine):
        name, version, _, _ = packaging.utils.parse_wheel_filename(file)
        key = name, str(version)
        assert digest in hashes[key], f"{file}: run `make wheels` after `make lock`"
        listed[key] = file
    assert listed.keys() == hashes.keys(), "run `make wheels` after `make lock`"


@pytest.mark.parametrize(("machine", "file", "digest"), LISTED, ids=lambda text: text[:40])
def test_it_runs_on_the_images_python_and_glibc(machine: str, file: str, digest: str) -> None:
    _, _, _, tags = packaging.utils.parse_wheel_filename(file)
    accepted = {"none", "abi3", f"cp{recipe.PYTHON.replace('.', '')}"}
    assert {tag.abi for tag in tags} <= accepted
    platforms = {tag.platform for tag in tags}
    assert platforms == {"any"} or platforms & set(wheels.platforms(machine))


def test_pip_is_asked_for_the_architecture_by_name() -> None:
    for machine in wheels.MACHINES:
        words = wheels.arguments("requirements/run.txt", machine)
        tags = [word for word in words if word.startswith("manylinux")]
        assert tags
        assert all(tag.endswith(machine) for tag in tags)
