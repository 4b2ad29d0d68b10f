"""Images that tests run in place of published ones, made from Debian packages.

They do what the published ones do in the walkthrough (a shell that sleeps, an nginx that answers
on its port), and their names say that they are other images.
"""

from __future__ import annotations

import io
import os
import pathlib
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from typing import Final

from tools.controlplane import progress
from tools.image import archive, debian, recipe, steps

ALPINE: Final = "stand-in/busybox-for-alpine:debian12"
"""A shell and the usual commands; Debian's busybox-static, no library. Not for `wget`, whose
static name resolution needs libraries: https://sourceware.org/glibc/wiki/FAQ"""
NGINX: Final = "stand-in/debian-nginx-for-nginx:debian12"
"""Debian's nginx, started as the published image starts its own; its logs go to the container's."""
MEBIBYTES: Final = 512
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ACCOUNTS: Final = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "www-data:x:33:33::/var/www:/bin/false\n"
        "nobody:x:65534:65534::/nonexistent:/bin/false\n"
    ),
    "etc/group": "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n",
}
"""Debian's configuration of nginx names www-data; a configuration without a user gets nobody and
nogroup."""


def ensure(
    *, environment: Mapping[str, str] = os.environ, report: progress.Progress | None = None
) -> dict[str, pathlib.Path]:
    """The OCI archive of each name, made first where it is missing. Raises BuildError."""
    report = report or progress.Progress(sys.stderr)
    cache, key = recipe.cache_folder(environment), recipe.key("tools/image/test_images.py")
    targets = {
        ALPINE: cache / f"stand-in-alpine-{key}.tar",
        NGINX: cache / f"stand-in-nginx-{key}.tar",
    }
    goal = "the images that stand in for alpine and nginx"
    if all(target.exists() for target in targets.values()):
        return targets
    steps.require_root(goal)
    with steps.taken(
        cache / "stand-ins", goal=goal, environment=environment, report=report
    ) as runner:
        steps.require_space(goal, folder=cache, mebibytes=MEBIBYTES)
        debian.require("mmdebstrap", runner=runner)
        report.say(f"making {goal} from Debian's packages, less than a minute")
        _alpine(targets[ALPINE], runner=runner)
        _nginx(targets[NGINX], runner=runner)
    return targets


def _alpine(target: pathlib.Path, *, runner: steps.Steps) -> None:
    packages = _extracted("busybox-static", runner=runner)
    program = runner.folder / "busybox"
    with tarfile.open(packages) as source:
        (member,) = [entry for entry in source if entry.name.endswith("bin/busybox")]
        file = source.extractfile(member)
        assert file is not None
        program.write_bytes(file.read())
    program.chmod(0o755)

    applets = subprocess.check_output([str(program), "--list"], text=True).split()
    layer = runner.folder / "alpine.layer"
    with tarfile.open(layer, "w") as output:
        output.add(program, "bin/busybox", filter=_owned_by_root)
        for applet in applets:
            if applet != "busybox":
                _link(output, f"bin/{applet}", to="busybox")
        _folder(output, "tmp", mode=0o1777)
        _accounts(output)
    _write(target, name=ALPINE, layer=layer, process={"Cmd": ["/bin/sh"], "Env": [_PATH]})


def _nginx(target: pathlib.Path, *, runner: steps.Steps) -> None:
    layer = _extracted("nginx", runner=runner)
    with tarfile.open(layer, "a") as output:
        _folder(output, "run", mode=0o755)
        _link(output, "var/log/nginx/access.log", to="/dev/stdout")
        _link(output, "var/log/nginx/error.log", to="/dev/stderr")
        _accounts(output)
    process = {"Cmd": ["nginx", "-g", "daemon off;"], "Env": [_PATH], "StopSignal": "SIGQUIT"}
    _write(target, name=NGINX, layer=layer, process=process)


def _extracted(package: str, *, runner: steps.Steps) -> pathlib.Path:
    """A tar file of the package and what it needs, as unpacked: nothing is set up or started."""
    target = runner.folder / f"{package}.tar"
    debian.debootstrap(target, variant="extract", packages=[package], runner=runner)
    return target


def _write(
    target: pathlib.Path, *, name: str, layer: pathlib.Path, process: Mapping[str, object]
) -> None:
    partial = layer.with_suffix(".image")
    archive.write(partial, name=name, layer=layer, process=process)
    partial.replace(target)


def _accounts(output: tarfile.TarFile) -> None:
    for name, text in _ACCOUNTS.items():
        member = tarfile.TarInfo(name)
        member.size = len(text)
        output.addfile(member, io.BytesIO(text.encode()))


def _link(output: tarfile.TarFile, name: str, *, to: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = tarfile.SYMTYPE, to, 0o777
    output.addfile(member)


def _folder(output: tarfile.TarFile, name: str, *, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    output.addfile(member)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member
