"""The printed table and the JSON beside it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from tools.chaos import run, samples

HEADER: Final = (
    "fault", "times", "tried", "refused", "bare", "bare windows", "repair p50/p99", "verdict",
)  # fmt: skip
DETAILS: Final = 20
NOTHING: Final = "-"


def table(results: Sequence[run.Result]) -> str:
    """In Markdown, with notes and failures below the table."""
    lines = [HEADER, *(_cells(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    rows = [_line([cell.ljust(width) for cell, width in zip(line, widths, strict=True)])
            for line in lines]  # fmt: skip
    rule = _line(["-" * width for width in widths])
    return "\n".join([rows[0], rule, *rows[1:], "", *_remarks(results)])


def document(results: Sequence[run.Result], **facts: Any) -> dict[str, Any]:
    """The same for programs, with every figure."""
    return {**facts, "failed": failed(results), "rows": [_row(result) for result in results]}


def failed(results: Sequence[run.Result]) -> bool:
    """Whether any row has failed."""
    return any(result.failures for result in results)


def _cells(result: run.Result) -> tuple[str, ...]:
    tally, loaded = result.tally, result.row.per_second > 0
    return (
        result.row.title,
        str(result.times),
        f"{tally.tried}" if loaded else NOTHING,
        f"{tally.refused}" if loaded else NOTHING,
        f"{tally.bare}" if loaded else NOTHING,
        _windows(tally.windows),
        _spread(result.repairs),
        "FAILED" if result.failures else "ok",
    )


def _windows(lengths: Sequence[float]) -> str:
    return f"{len(lengths)}, longest {max(lengths):.2f} s" if lengths else NOTHING


def _spread(repairs: Sequence[float]) -> str:
    if not repairs:
        return NOTHING
    half, most = (samples.percentile(repairs, share) for share in (0.5, 0.99))
    return f"{half:.2f} / {most:.2f} s"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _remarks(results: Sequence[run.Result]) -> list[str]:
    return [
        f"{result.row.name}: {text}"
        for result in results
        for text in (
            *(f"FAILED: {failure}" for failure in result.failures),
            *result.notes,
            *([f"{result.tally.hung} of the bare pods hung"] if result.tally.hung else []),
            *([f"{result.tally.lost} pods that the API server itself could not create"]
              if result.tally.lost else []),
        )
    ]  # fmt: skip


def _row(result: run.Result) -> dict[str, Any]:
    counts = dataclasses.asdict(result.tally)
    unexcused = counts.pop("unexcused")
    return {
        "name": result.row.name,
        "fault": result.row.title,
        "times": result.times,
        "seconds": round(result.seconds, 1),
        **counts,
        "connections": result.connections,
        "unexcused": [
            {**sample, "outcome": sample["outcome"].value} for sample in unexcused[:DETAILS]
        ],
        "repairs": result.repairs,
        "failures": result.failures,
        "notes": result.notes,
    }
