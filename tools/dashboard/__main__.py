"""`python -m tools.dashboard` writes the dashboard into the chart; a test compares."""

from __future__ import annotations

import sys

from tools.dashboard import board


def main() -> int:
    """Write the file; says so only if it changed."""
    if not board.FILE.exists() or board.FILE.read_text(encoding="utf-8") != board.text():
        board.FILE.parent.mkdir(parents=True, exist_ok=True)
        board.FILE.write_text(board.text(), encoding="utf-8")
        sys.stdout.write(f"{board.FILE.name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
