"""The image of the helper program: every pod's first container, and a small server for tests."""

from __future__ import annotations

import pathlib
import tarfile
from typing import Final

from tools.image import archive

HELPER: Final = "node/helper:1"
PROGRAM: Final = "/helper"
USER: Final = 65535
"""What the published pause image runs as:
https://github.com/kubernetes/kubernetes/blob/master/build/pause/Dockerfile"""


def helper(program: pathlib.Path, *, folder: pathlib.Path) -> pathlib.Path:
    """Write its archive into the folder; it contains only the program."""
    layer, target = folder / "helper.layer", folder / "helper.tar"
    with tarfile.open(layer, "w") as output:
        output.add(program, PROGRAM.lstrip("/"), filter=_executable)
    process = {"Entrypoint": [PROGRAM], "Cmd": ["pause"], "User": f"{USER}:{USER}"}
    archive.write(target, name=HELPER, layer=layer, process=process)
    return target


def _executable(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    member.mode = 0o755
    return member
