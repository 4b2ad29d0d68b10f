"""The limits in docs/security.md are those of the code, and its metrics exist."""

from __future__ import annotations

import json
import pathlib
import re

import jsonschema
import pytest
import yaml

from sidecar_injector.controllers import rate_limit
from sidecar_injector.core.injections import memory_budget, model, parameters
from sidecar_injector.core.merging import budget, merge
from sidecar_injector.httpserver import handshakes, messages
from sidecar_injector.kube import events
from sidecar_injector.observability import logs, metrics
from sidecar_injector.pki import handover
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import (
    admin,
    admission_review,
    judge,
    mutate,
    response,
    response_cache,
    validate,
    worker,
)

ROOT = pathlib.Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
SCHEMA = ROOT / "charts" / "sidecar-injector" / "values.schema.json"
LIMITS = messages.Limits()
EXPECTED = {
    "one request": f"{LIMITS.body_bytes >> 20} MiB",
    "its line and headers": f"{LIMITS.head_bytes >> 10} KiB, {LIMITS.target_bytes >> 10} KiB",
    "headers of a request": f"{LIMITS.headers}",
    "requests in progress of all connections together: unparsed bytes, bodies until they are"
    " answered, answers until they are read": f"{LIMITS.held_bytes >> 20} MiB",
    "clients before the end of their handshake": (
        f"{handshakes.MOST_SILENT} that send nothing, {handshakes.MOST_WAITING} that wait,"
        f" {handshakes.MOST_SHAKING} in a handshake"
    ),
    "the admin port": (
        f"{admin.LIMITS.connections} connections, {admin.LIMITS.held_bytes >> 20} MiB, no body"
    ),
    "a review that is read at all": (
        f"{admission_review.MAX_BYTES >> 20} MiB, and {admission_review.MAX_PARSED_BYTES >> 20} MiB"
    ),
    "large reviews that wait for the worker thread": f"{worker.MAX_WAITING_BYTES >> 20} MiB",
    "a review that is decided on the event loop": (
        f"{mutate.SHORT_BYTES >> 10} KiB, {budget.SHORT} parts"
    ),
    "the work for one pod": f"{budget.MOST} parts",
    "a pod with all that is added": f"{merge.MOST_BYTES >> 10} KiB",
    "what the parameters of an injection fill in": (
        f"{parameters.MAX_FILLED >> 10} KiB; {parameters.MAX_MATCHED} bytes"
    ),
    "the spec of an injection": f"{model.MAX_BYTES >> 10} KiB as JSON, {model.MAX_ERRORS} errors",
    "a review of an injection": f"{validate.MAX_REVIEW_BYTES >> 20} MiB",
    "injections that wait to be judged": f"{judge.MOST_WAITING}, each for {judge.JUDGE_SECONDS} s",
    "injections in memory": (
        f"{memory_budget.NAMESPACED.number} and {memory_budget.NAMESPACED.namespace_bytes >> 20}"
        f" MiB in a namespace, {memory_budget.NAMESPACED.all_bytes >> 20} MiB in all namespaces,"
        f" {memory_budget.CLUSTER.all_bytes >> 20} MiB of the cluster kind"
    ),
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
    "writes of a bundle, a Secret or a status that another client undoes": (
        f"{rate_limit.FAST_TRIES} at once"
    ),
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
