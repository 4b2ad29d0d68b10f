"""docs/reference.md: every field of both kinds, from the CRDs that are applied, and every metric.

`python -m tools.reference` writes it; a test compares. Types that Kubernetes defines are linked
and not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar_injector import crds, names
from sidecar_injector.controllers.certificates import problems
from sidecar_injector.core.injections import model
from sidecar_injector.core.merging import budget, merge
from sidecar_injector.core.validity import spec as spec_rules
from sidecar_injector.kube import api
from sidecar_injector.observability.metrics import (
    EVENT_RESULTS,
    NAMESPACE,
    POD_STATES,
    RESULTS,
    WEBHOOKS,
    WRITE_RESULTS,
    WRITTEN,
    Metrics,
)
from tools import pages
from tools.crds import bounds, definition

FILE = Path(__file__).parent.parent / "docs" / "reference.md"
MANUAL = "https://kubernetes.io/docs/reference/kubernetes-api"
POD = f"{MANUAL}/workload-resources/pod-v1"
LINKS = {
    "LabelSelector": f"{MANUAL}/common-definitions/label-selector/",
    "PodSpec": f"{POD}/#PodSpec",
    "Container": f"{POD}/#Container",
}
HEAD = f"""# Reference

<!-- Written by `python -m tools.reference` from the CRDs; edit their descriptions instead. -->

The fields of `{names.KIND}` (short `sinj`, in one namespace) and `{names.CLUSTER_KIND}` (short
`csinj`, in all enabled namespaces), API version `{names.API_VERSION}`. `kubectl explain
sidecarinjection.spec` says the same. What a field of the template means inside of a pod is in the
manual of Kubernetes, to which these link; a misspelt one is refused.
"""

LIMITS = f"""## Limits of an injection

Each list, map and string has a limit, in the fields that Kubernetes defines too: `kubectl apply`
refuses what is longer. Where the tables above name none, a list has at most {bounds.ITEMS} items,
a map {bounds.PROPERTIES} members and a string {bounds.LENGTH:,} characters, with these exceptions:

| field | at most | reason |
|---|---|---|
| `env`, `command`, `args` | {bounds.MOST_ITEMS["env"]} items | |
| `hostAliases`, `items`, `values` | {bounds.MOST_ITEMS["items"]} items | |
| `envFrom` | {bounds.MOST_ITEMS["envFrom"]} items | |
| `nameservers` | {bounds.MOST_ITEMS["nameservers"]} items | the API server accepts three in a pod |
| `annotations` | {bounds.MOST_PROPERTIES["annotations"]} members | |
| one of `command` and `args`; `value` | {bounds.ARGUMENT // 1024} KiB | no longer one in Linux |
| one of `annotations` | {bounds.ARGUMENT // 1024} KiB | |
| `image`, `mountPath` and other paths | {bounds.PATH:,} characters | `PATH_MAX` of Linux |
| a token in the place of a number, word or quantity | {bounds.TOKEN_LENGTH} characters | |

The whole `spec` has at most {model.MAX_BYTES // 1024} KiB, as compact JSON. A larger one is
refused with one error that names its bytes and the limit, and nothing else of it is judged. One
that is in the cluster from before gets `Accepted=False` with the same sentence and is not injected:
a pod that it selects is started without it, or refused where it says `failurePolicy: Fail`. At most
{model.MAX_ERRORS} errors of one injection are listed.

## Limits of a decision

The webhook counts how much work the injections of one pod are, and skips one that would be too much
(reason `TooMuchWork`) before it does any of it. In this sum an injection counts as many as its spec
has values, {model.PATTERN_PARTS} more for each pattern of a parameter, and {budget.INJECTION} more.
Each container of the pod that receives something counts
{budget.CHANGED}, and each variable, source and mount that it receives counts one. For each
injection, what the pod has already counts an {budget.PRESENT}th. At most {budget.MOST:,} are
accepted: 20 variables in each of 100 containers are a third of it. The same reason has an injection
of more than {merge.SMALL_BYTES // 1024} KiB with which the pod would have more than
{merge.MOST_BYTES // 1024:,} KiB as JSON: the API server could not store it. So has one
whose record in the annotation `{names.STATUS_ANNOTATION}` would give the pod more than the
{spec_rules.MOST_ANNOTATIONS // 1024} KiB of annotations that Kubernetes accepts.
Where an injection with `dryRun: true` applies, the same sum is made
twice: without dry runs, and as if none were one.

"""

METRICS = """## Metrics

Each replica exposes them at `/metrics` of its admin port. Every label has few values, whatever pods
and namespaces there are, and all of them are there from the start, so that `rate` sees the first
one too; those of gauges appear with their first value. `reason` of `decisions_total` and
`dry_run_injections_total` is one of the codes in [decision.md](decision.md). Those of the
process and of Python's memory (`process_*`, `python_gc_*`) come in addition.
"""
LABELS: dict[str, dict[str, str | Sequence[str]]] = {
    "webhook": {"webhook_requests_total": WEBHOOKS},
    "result": {
        "admission_requests_total": RESULTS,
        "writes_total": WRITE_RESULTS,
        "events_total": EVENT_RESULTS,
    },
    "reason": {
        "decisions_total": "a reason code",
        "dry_run_injections_total": "a reason code",
        "tls_handshake_failures_total": "OpenSSL's word, or `other`",
    },
    "loop": {"loop_failures_total": "a part of the operator, as its log names it"},
    "code": {"http_errors_total": "an HTTP status of 400 or more"},
    "resource": {
        "cache_synced": "what is watched, by its plural",
        "cache_last_event_timestamp_seconds": "what is watched, by its plural",
    },
    "kind": {"injections_not_kept": tuple(api.OWN_KINDS)},
    "certificate": {"certificate_expiration_timestamp_seconds": ("leaf", "ca")},
    "configuration": {"ca_bundle_in_sync": WRITTEN[1:3]},
    "object": {"writes_total": WRITTEN},
    "version": {"build_info": "ours"},
    "python": {"build_info": "Python's"},
    "problem": {
        "certificate_problem": tuple(problem.value for problem in problems.CertificateProblem)
    },
    "state": {"audit_pods": POD_STATES},
}
"""The values of a label, listed or described, by metric."""

LONGEST_PATTERN = 30

Schema = Mapping[str, Any]


def text() -> str:
    """The page."""
    schema = crds.resource_schema(names.CLUSTER_KIND)["properties"]
    parts = [HEAD]
    for part in ("spec", "status"):
        source = definition.source(part)
        parts += [f"## {part}\n", f"{_flat(source['description'])}\n"]
        parts += _table(schema[part], source, path=part)
    return "\n".join([*parts, LIMITS, METRICS, *_metrics(), ""])


def _metrics() -> Iterator[str]:
    yield "| metric | type | labels | what it is |"
    yield "|---|---|---|---|"
    for metric in Metrics().instruments:
        short = metric.name.removeprefix(f"{NAMESPACE}_")
        labels = "; ".join(f"`{label}`: {_values(LABELS[label][short])}" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text} |"


def _values(values: str | Sequence[str]) -> str:
    return values if isinstance(values, str) else ", ".join(f"`{value}`" for value in values)


def _table(schema: Schema, source: Schema, *, path: str) -> Iterator[str]:
    yield "| field | type | default | accepted | what it is |"
    yield "|---|---|---|---|---|"
    for name, below in source["properties"].items():
        yield from _rows(schema["properties"][name], below, path=f"{path}.{name}")
    yield ""


def _rows(schema: Schema, source: Schema, *, path: str) -> Iterator[str]:
    """The row of a field, and those of the fields in it that are not Kubernetes' own."""
    cells = [
        f"`{path}`",
        _type(schema, source),
        f"`{json.dumps(schema['default'])}`" if "default" in schema else "",
        _accepted(schema),
        _description(source),
    ]
    yield f"| {' | '.join(cells)} |"
    if definition.KUBERNETES in source:
        return
    if "items" in source:
        schema, source, path = schema["items"], source["items"], f"{path}[]"
    for name, below in (source.get("properties") or {}).items():
        yield from _rows(schema["properties"][name], below, path=f"{path}.{name}")


def _type(schema: Schema, source: Schema) -> str:
    if kubernetes := source.get(definition.KUBERNETES):
        kind, _, field = kubernetes.partition(".")
        return f"[{kind}{f'.{field}' if field else ''}]({LINKS[kind]})"
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if schema["type"] == "array":
        return f"list of {_type(schema['items'], source.get('items') or {})}"
    if "additionalProperties" in schema:
        return f"map to {schema['additionalProperties']['type']}"
    return str(schema["type"])


def _accepted(schema: Schema) -> str:
    """The values that a field takes, or that each of its items does."""
    node = schema["items"] if schema.get("type") == "array" else schema
    words = [f"`{word}`" for word in node.get("enum", ())]
    limits = [", ".join(words)] if words else []
    # The description explains a long pattern better.
    if len(node.get("pattern", "")) in range(1, LONGEST_PATTERN + 1):
        # A pipe would end the cell, even in code.
        limits.append(f"`{node['pattern']}`".replace("|", "\\|"))
    limits += [
        f"at most {schema[limit]} {unit}"
        for limit, unit in (
            ("maxItems", "items"), ("maxProperties", "members"), ("maxLength", "characters"),
        )
        if limit in schema
    ]  # fmt: skip
    return "; ".join(limits)


def _description(source: Schema) -> str:
    rules = source.get("x-kubernetes-validations", ())
    sentences = [source["description"], *(f"Rule: {rule['message']}." for rule in rules)]
    # Stars would be emphasis, and a pipe the end of the cell.
    text = _flat(" ".join(sentences)).replace("|", "\\|").replace("*", "\\*")
    only = source.get(definition.ONLY)
    return f"*{only} only.* {text}" if only else text


def _flat(description: str) -> str:
    return " ".join(description.split())


if __name__ == "__main__":
    pages.write(FILE, text())
