"""The wheel house: every wheel that both lock files name, for the Python of the image.

`python -m tools.image.wheels` writes `requirements/wheels.txt`: the wheels for both architectures.
"""

from __future__ import annotations

import hashlib
import itertools
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import Final

from tools import environments
from tools.image import recipe, steps

MACHINES: Final = ("aarch64", "x86_64")
LIST: Final = "requirements/wheels.txt"

_MACHINES: Final = {"arm64": "aarch64", "amd64": "x86_64"}
_OLDEST_GLIBC_MINOR: Final = 17
"""manylinux2014's, the oldest that today's wheels are built for: https://peps.python.org/pep-0600/"""


def ensure(cache: pathlib.Path, *, runner: steps.Steps) -> pathlib.Path:
    """The folder, from the cache if it is there."""
    target = cache / f"wheels-{machine()}-{recipe.key(*recipe.LOCKS, 'tools/image/wheels.py')}"
    if not target.exists():
        runner.report.say(f"fetching the wheels of the lock files: {target}")
        partial = runner.folder / "wheels"
        for lock in recipe.LOCKS:
            # One by one: pip refuses a requirement that both locks have.
            command = [
                sys.executable,
                "-m",
                "pip",
                *arguments(lock, machine()),
                "--dest",
                str(partial),
            ]
            runner.run(command, name="pip-download")
        partial.replace(target)
    return target


def arguments(lock: str, machine: str) -> list[str]:
    """Of pip, to fetch what a lock file names: wheels only, checked against its hashes."""
    # The lock lists all that is needed, so nothing is resolved for the Python that runs pip.
    fixed = ["download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    tags = tag_arguments(recipe.PYTHON, platforms(machine))
    return [*fixed, *tags, "--requirement", str(recipe.ROOT / lock)]


def tag_arguments(python: str, platforms: Iterable[str]) -> list[str]:
    """Of pip, to choose wheels for another machine: a version as 3.11, and tags of platforms."""
    words = ["--implementation", "cp", "--python-version", python]
    abis = (f"cp{python.replace('.', '')}", "abi3", "none")
    words += itertools.chain.from_iterable(("--abi", abi) for abi in abis)
    words += itertools.chain.from_iterable(("--platform", tag) for tag in platforms)
    return words


def machine() -> str:
    """As wheels spell it."""
    name = platform.machine().lower()
    return _MACHINES.get(name, name)


def platforms(machine: str, *, glibc_minor: int = recipe.GLIBC_MINOR) -> Iterator[str]:
    """The tags that a glibc accepts, which is that of the image, the newest first."""
    # pip uses exactly these tags: a newer one does not include the older ones.
    for minor in range(glibc_minor, _OLDEST_GLIBC_MINOR - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
    yield f"manylinux2014_{machine}"


def main() -> int:
    """Exit status 1 and one line if a package has no wheel for an architecture."""
    lines = []
    for each, lock in itertools.product(MACHINES, recipe.LOCKS):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", *arguments(lock, each), "--dest", folder]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            if answer.returncode != 0:
                print(f"{lock}, {each}: {environments.last_line(answer.stderr)}", file=sys.stderr)
                return 1
            lines += [f"{each} {_listed(wheel)}" for wheel in pathlib.Path(folder).glob("*.whl")]
    (recipe.ROOT / LIST).write_text("".join(f"{line}\n" for line in sorted(set(lines))), "utf-8")
    print(f"{LIST}: {len(set(lines))} wheels")
    return 0


def _listed(wheel: pathlib.Path) -> str:
    return f"{wheel.name} sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


if __name__ == "__main__":
    sys.exit(main())
