"""Writes generated files; a test compares each with what is committed."""

from __future__ import annotations

import pathlib
import sys


def write(file: pathlib.Path, text: str, *, name: str | None = None) -> bool:
    """Write the file if its text differs, and say so; whether it differed."""
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{name or file.name} written\n")
    return True
