"""The wheel house: every wheel that both lock files name, for the Python of the image."""

from __future__ import annotations

import itertools
import pathlib
import platform
import sys
from collections.abc import Iterator
from typing import Final

from tools.image import recipe, steps

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
            command = [sys.executable, "-m", "pip", *arguments(lock), "--dest", str(partial)]
            runner.run(command, name="pip-download")
        partial.replace(target)
    return target


def arguments(lock: str) -> list[str]:
    """Of pip, to fetch what a lock file names: wheels only, checked against its hashes."""
    # The lock lists all that is needed, so nothing is resolved for the Python that runs pip.
    fixed = ["download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    tags = ["--implementation", "cp", "--python-version", recipe.PYTHON]
    abis = (f"cp{recipe.PYTHON.replace('.', '')}", "abi3", "none")
    tags += itertools.chain.from_iterable(("--abi", abi) for abi in abis)
    tags += itertools.chain.from_iterable(("--platform", tag) for tag in _platforms())
    return [*fixed, *tags, "--requirement", str(recipe.ROOT / lock)]


def machine() -> str:
    """As wheels spell it."""
    name = platform.machine().lower()
    return _MACHINES.get(name, name)


def _platforms() -> Iterator[str]:
    # pip uses exactly these tags: a newer one does not include the older ones.
    for minor in range(recipe.GLIBC_MINOR, _OLDEST_GLIBC_MINOR - 1, -1):
        yield f"manylinux_2_{minor}_{machine()}"
    yield f"manylinux2014_{machine()}"
