"""Where manifests are: files, folders, and addresses on the web."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from sidecar_injector.cli import options
from sidecar_injector.observability import logs

HTTPS: Final = "https://"
SUFFIXES: Final = frozenset({".json", ".yaml", ".yml"})
"""Of files in a folder, as kubectl takes them."""
MAX_FILES: Final = 10_000
MAX_BYTES: Final = 10 * 1024 * 1024
SECONDS: Final = 10.0
"""Until a server must have sent its next bytes."""


class UnreadableInput(click.ClickException):
    """Input that cannot be used: a line that names file, document and field; exit status 2."""

    exit_code = 2

    def format_message(self) -> str:
        """The message for a terminal: names come from files."""
        return logs.one_line(self.message)


class FileOfFolder(str):
    """The path of a file that was found in a folder, and that nobody named."""

    __slots__ = ("folder",)
    folder: str


def files(locations: Sequence[str], *, recursive: bool = False) -> tuple[str, ...]:
    """The locations with the files of a folder in its place, in the order of their names.

    Raises UnreadableInput for a folder without manifests, and for one with too many.
    """
    return tuple(file for location in locations for file in _files(location, recursive))


def _files(location: str, recursive: bool) -> Iterator[str]:  # noqa: FBT001 - the option's name
    if location == options.STDIN or is_address(location) or not pathlib.Path(location).is_dir():
        yield location
        return
    paths = pathlib.Path(location).glob("**/*" if recursive else "*")
    found = sorted(str(path) for path in paths if path.suffix in SUFFIXES and path.is_file())
    if not found:
        deeper = "" if recursive else "; -R looks into its folders, too"
        raise UnreadableInput(f"{location}: contains no file *.yaml, *.yml or *.json{deeper}")
    if len(found) > MAX_FILES:
        raise UnreadableInput(f"{location}: contains more than {MAX_FILES} manifests")
    for path in found:
        file = FileOfFolder(path)
        file.folder = location
        yield file


def is_address(location: str) -> bool:
    """Whether this is an address on the web, and not a file."""
    return location.startswith((HTTPS, "http://"))


def fetched(address: str) -> bytes:
    """The content at an address. Raises UnreadableInput for everything but a small HTTPS answer."""
    # Few people need it, and it imports as much as a verb.
    import http.client  # noqa: PLC0415
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    class OnlyHttps(urllib.request.HTTPRedirectHandler):
        """Follows no redirection to another scheme, which could be read on its way."""

        def redirect_request(self, *arguments: Any) -> Any:
            is_safe = arguments[-1].startswith(HTTPS)
            return super().redirect_request(*arguments) if is_safe else None

    if not address.startswith(HTTPS):
        raise UnreadableInput(f"{address}: only {HTTPS} is fetched")
    try:
        with urllib.request.build_opener(OnlyHttps).open(address, timeout=SECONDS) as response:
            content: bytes = response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            status = f"{error.code} {error.reason}"
        raise UnreadableInput(f"{address}: cannot be fetched: {status}") from error
    except urllib.error.URLError as error:
        raise UnreadableInput(f"{address}: cannot be fetched: {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreadableInput(f"{address}: cannot be fetched: {error}") from error
    if len(content) > MAX_BYTES:
        raise UnreadableInput(f"{address}: has more than {MAX_BYTES} bytes")
    return content
