"""The image's tools: archives are what containerd reads, and every obstacle is one clear line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import tarfile
from collections.abc import Iterator

import pytest

from tools.controlplane import errors, guard, locks, progress
from tools.image import archive, build, debian, recipe, sbom, steps, test_images, wheels

NAME = "stand-in/thing:1"
GOAL = "the thing"


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    """An archive of one layer with one file."""
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as output:
        member = tarfile.TarInfo("./etc/motd")
        member.size = 5
        output.addfile(member, io.BytesIO(b"hello"))
    target = tmp_path / "image.tar"
    archive.write(target, name=NAME, layer=layer, process={"Cmd": ["/bin/sh"], "User": "65532"})
    return target


def test_an_archive_reads_as_it_was_written(image: pathlib.Path) -> None:
    read = archive.read(image)
    assert read.names == ("docker.io/stand-in/thing:1", NAME)
    assert read.config["config"] == {"Cmd": ["/bin/sh"], "User": "65532"}
    assert read.config["rootfs"]["diff_ids"] == list(read.layers)
    assert list(archive.files(image)) == ["etc/motd"]
    assert archive.contents(image, "etc/motd", "etc/none") == {"etc/motd": b"hello"}


def test_every_blob_of_an_archive_has_the_digest_that_names_it(image: pathlib.Path) -> None:
    with tarfile.open(image) as opened:
        names = opened.getnames()
        assert json.load(opened.extractfile("oci-layout") or io.BytesIO()) == {
            "imageLayoutVersion": "1.0.0"
        }
        for name in names:
            if name.startswith("blobs/"):
                file = opened.extractfile(name)
                assert file is not None
                assert archive._sha256(file.read()) == name[6:].replace("/", ":")
    assert len(names) == 5


def test_a_renamed_archive_holds_the_same_image(
    image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "renamed.tar"
    archive.rename(image, name="thing:2", target=target)
    before, after = archive.read(image), archive.read(target)
    assert after.names == ("docker.io/library/thing:2", "thing:2")
    assert (after.config, after.layers) == (before.config, before.layers)
    assert archive.contents(target, "etc/motd") == {"etc/motd": b"hello"}


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "cut"])
def test_a_damaged_archive_is_one_line_with_a_remedy(
    content: bytes | None, image: pathlib.Path
) -> None:
    image.write_bytes(image.read_bytes()[:1500] if content is None else content)
    with pytest.raises(errors.BuildError) as caught:
        archive.read(image)
    text = str(caught.value)
    assert f"{image} cannot be read as an OCI archive" in text
    assert text.endswith("remove it and run `python -m tools.image`")
    assert "\n" not in text


def test_stand_ins_are_not_mistaken_for_the_real_images() -> None:
    for name in (test_images.ALPINE, test_images.NGINX):
        assert name.startswith("stand-in/")
        assert not name.endswith(":latest")


class Build:
    """A build whose commands are scripts."""

    def __init__(self, folder: pathlib.Path, watcher: guard.Guard) -> None:
        self.stream = io.StringIO()
        self.runner = steps.Steps(
            goal=GOAL,
            folder=folder,
            environment={"PATH": "/usr/bin:/bin"},
            report=progress.Progress(self.stream),
            watcher=watcher,
        )

    def fails(self, output: str) -> str:
        script = f"echo first; echo '{output}' >&2; echo; exit 1"
        with pytest.raises(errors.BuildError) as caught:
            self.runner.run(["/bin/sh", "-c", script], name="step")
        return str(caught.value)


@pytest.fixture
def building(tmp_path: pathlib.Path) -> Iterator[Build]:
    with contextlib.closing(guard.Guard()) as watcher:
        yield Build(tmp_path, watcher)


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("write /x/y: no space left on device", "free some gigabytes"),
        ("E: Failed to fetch the-mirror/x  Could not resolve the-mirror", "check the network"),
        ("ERROR: No matching distribution found for click==8.5.1", "check the network"),
        ("Error: nothing like it", "all of it is in "),
    ],
    ids=["no space", "no mirror", "no index", "anything else"],
)
def test_a_failed_step_is_one_line_with_a_remedy(building: Build, output: str, remedy: str) -> None:
    text = building.fails(output)
    assert text.startswith(f"cannot build {GOAL}: {output}; {remedy}")
    assert "\n" not in text


def test_a_step_gives_its_output(building: Build) -> None:
    assert building.runner.run(["/bin/echo", "yes"], name="step") == "yes\n"


def test_a_second_build_waits_for_the_first_and_begins_afresh(tmp_path: pathlib.Path) -> None:
    report = progress.Progress(io.StringIO())
    folder = tmp_path / "building"
    with (
        contextlib.suppress(ZeroDivisionError),
        steps.taken(folder, goal=GOAL, environment={}, report=report),
    ):
        (folder / "half").touch()
        _ = 1 / 0
    assert (folder / "half").exists(), "what a failed build has written is worth a look"
    with steps.taken(folder, goal=GOAL, environment={}, report=report):
        with (tmp_path / "building.lock").open("w") as other:
            assert not locks.take(other)
        assert list(folder.iterdir()) == []
    assert not folder.exists()


def test_a_full_disk_is_noticed_before_anything_is_built(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.BuildError, match=r"MiB are free .* XDG_CACHE_HOME to a larger disk"):
        steps.require_space(GOAL, folder=tmp_path, mebibytes=2**40)


def test_without_root_it_names_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(errors.BuildError, match=r"takes root; .*docker build"):
        steps.require_root(GOAL)


def test_packages_that_are_missing_are_named_with_their_command(
    building: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    debian.require("sh", runner=building.runner)
    with pytest.raises(errors.BuildError) as caught:
        debian.require("no-such-one", "sh", "nor-this", runner=building.runner)
    assert str(caught.value) == (
        "cannot build the thing: no-such-one and nor-this cannot be found on the PATH;"
        " install them: apt-get install no-such-one nor-this"
    )


def test_tests_are_told_to_build_first(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.BuildError, match="run `make image` as root first"):
        build.cached({"XDG_CACHE_HOME": str(tmp_path)})


def test_the_builders_own_variables_do_not_reach_it() -> None:
    plain = build._plain({"PATH": "/bin", "STORAGE_DRIVER": "x", "BUILDAH_ISOLATION": "oci"})
    assert plain == {"PATH": "/bin"}


@pytest.mark.parametrize("lock", recipe.LOCKS)
def test_wheels_are_fetched_as_the_lock_names_them(lock: str) -> None:
    words = wheels.arguments(lock, wheels.machine())
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(words)
    assert words[words.index("--python-version") + 1] == recipe.PYTHON
    assert words[-1] == str(recipe.ROOT / lock)


def test_python_packages_are_listed_with_their_licences() -> None:
    first = "Name: Some_Thing\nVersion: 1.0+x\nLicense-Expression: MIT\n\nText: none\n"
    second = "Name: old\nVersion: 2\nClassifier: License :: OSI Approved :: BSD License\n"
    first_component, other = sbom.python_components([first, second])
    assert first_component == {
        "type": "library",
        "bom-ref": "pkg:pypi/some-thing@1.0%2Bx",
        "name": "Some_Thing",
        "version": "1.0+x",
        "purl": "pkg:pypi/some-thing@1.0%2Bx",
        "licenses": [{"expression": "MIT"}],
    }
    assert other["licenses"] == [{"license": {"name": "BSD License"}}]


def test_debian_packages_are_listed_if_they_are_installed() -> None:
    status = (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+x\n"
        "Description: one\n more\n .\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n"
    )
    (only,) = sbom.debian_components(status, release="12.9")
    assert only["purl"] == "pkg:deb/debian/libc6@2.36-9%2Bx?arch=amd64&distro=debian-12.9"
