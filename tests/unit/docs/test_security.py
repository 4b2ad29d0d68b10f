"""The limits in docs/security.md are those of the code, and its metrics exist."""

from __future__ import annotations

import json
import pathlib
import re

import jsonschema
import pytest
import yaml

from sidecar_injector.controllers import rate_limit
from sidecar_injector.httpserver import messages
from sidecar_injector.kube import events
from sidecar_injector.observability import logs, metrics
from sidecar_injector.pki import handover
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import admission_review, response, response_cache

ROOT = pathlib.Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
SCHEMA = ROOT / "charts" / "sidecar-injector" / "values.schema.json"
LIMITS = messages.Limits()
EXPECTED = {
    "one request": f"{LIMITS.body_bytes >> 20} MiB",
    "its line and headers": f"{LIMITS.head_bytes >> 10} KiB, {LIMITS.target_bytes >> 10} KiB",
    "unfinished requests of all connections together": f"{LIMITS.held_bytes >> 20} MiB",
    "a TLS handshake": f"{LIMITS.handshake_seconds:g} s",
    "a request, from its first byte to its last": f"{LIMITS.request_seconds:g} s",
    "a connection without requests": f"{LIMITS.idle_seconds:g} s",
    "connections": f"`settings.maxConnections` ({Settings().max_connections})",
    "a body that the event loop parses by itself": (
        f"{admission_review.MAX_BLOCKING_BYTES >> 20} MiB"
    ),
    "remembered responses": f"{response_cache.MAX_BYTES >> 20} MiB",
    "a review that may be remembered": f"{response_cache.MAX_REVIEW_BYTES >> 10} KiB",
    "kinds of Events that wait to be posted": (
        f"{events.QUEUE_LIMIT}, each with a note of {events.NOTE_LIMIT} characters"
    ),
    "calls that post Events": f"{events.BURST} at once, one in a second",
    "a warning for the author of a pod": (
        f"{response.MAX_WARNINGS} of {response.MAX_WARNING_LENGTH} characters"
    ),
    "a name in the log": f"{admission_review.LONGEST_NAME} characters",
    "a message in the log, a traceback": f"{logs.LONGEST_MESSAGE}, {logs.LONGEST_TRACEBACK}",
    "warnings and errors of one kind in the log": (
        f"{logs.MOST_OF_A_KIND} in a minute, {logs.MOST_KINDS} kinds"
    ),
    "writes of a bundle or a Secret that another client undoes": f"{rate_limit.FAST_TRIES} at once",
    "refusals of a new certificate that are remembered": f"{handover.MOST_REFUSALS}",
}


def rows() -> dict[str, list[str]]:
    """The table of limits: the other cells by the first one."""
    table = PAGE.partition("## Limits\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines[1:]}


def test_the_table_lists_these_limits() -> None:
    assert {*rows()} >= {*EXPECTED}


@pytest.mark.parametrize("limit", EXPECTED)
def test_a_limit_is_the_one_of_the_code(limit: str) -> None:
    assert rows()[limit][0].startswith(EXPECTED[limit])


def test_every_limit_says_what_happens_then_and_where_it_shows() -> None:
    for limit, cells in rows().items():
        assert len(cells) == 4, limit
        assert len(cells[1]) > 2, limit


def test_the_metrics_of_the_table_exist() -> None:
    existing = {instrument.name for instrument in metrics.Metrics().instruments}
    named = {name for cells in rows().values() for name in re.findall(r"`(\w+)[`{]", cells[2])}
    assert {f"{metrics.NAMESPACE}_{name}" for name in named} <= existing


def test_the_values_of_the_page_are_accepted_by_the_chart() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    values = yaml.safe_load(block)
    schema = json.loads(SCHEMA.read_text())
    policy = {**schema["properties"]["networkPolicy"], "definitions": schema["definitions"]}
    jsonschema.validate(values["networkPolicy"], policy)
