"""The way of a pod through the code, as the page about the architecture quotes it."""

from __future__ import annotations

import pathlib

from tools import trace

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "architecture.md"


async def test_the_page_quotes_the_figures_of_the_way() -> None:
    """`python -m tools.trace` prints the new ones."""
    page = PAGE.read_text("utf-8")
    for line in trace.summaries(*await trace.traces()):
        assert f"\n{line}\n" in page


async def test_a_pod_that_the_response_cache_knows_is_not_decided_again() -> None:
    first, later = await trace.traces()
    assert "core/decide.py" in first.files
    assert not any(file.startswith("core/") for file in later.files)
