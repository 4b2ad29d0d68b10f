"""A custom resource of one of our two kinds, read, checked and compiled once.

Every custom resource becomes an `Injection`. Its mistakes are in `errors`, and an injection with
errors is never applied. Templates stay plain dicts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import parameters, rules, schema
from sidecar_injector.core.pods import lenient, selectors

UNHASHED = frozenset(
    {
        "selector",
        "namespaceSelector",
        "activation",
        "optOut",
        "priority",
        "suspend",
        "dryRun",
        "failurePolicy",
        "operatingSystem",
        "engine",
    }
)
"""Fields that decide whether a pod is injected, and by whom; all others shape the pod and are
hashed."""
HASH_DIGITS = 16
MAX_BYTES = 128 * 1024
"""Of the spec as compact JSON. The largest templates that are known have a tenth of it, and to
judge an injection of this size takes a fraction of a second."""
MAX_MATCHING_BYTES = 4 * 1024
"""Of the fields that say which pods are meant: those of a larger injection are kept up to here."""
MAX_ERRORS = 50
"""Errors of one injection. More of them help nobody, and each costs time."""
QUANTITY_PARTS = 8
"""A quantity counts as so many values, because it is compared as a number."""
PATTERN_PARTS = 100
"""The same for the pattern of a parameter: it may have to be compiled, and it may be slow."""
MATCHING = UNHASHED | {"hostNetworkPods"}
"""Fields that decide whether an injection applies to a pod."""


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, eq=False)
class Injection:
    """A SidecarInjection or ClusterSidecarInjection, ready to be matched and merged."""

    kind: str
    namespace: str | None
    """None for the cluster kind."""
    name: str
    generation: int | None
    """None for one that comes from a file."""
    uid: str
    """Empty for one that comes from a file."""
    spec: Mapping[str, Any]
    """With the schema's defaults; nobody changes it."""
    hash: str
    selector: selectors.Selector
    namespace_selector: selectors.Selector
    required_label: tuple[str, str] | None
    """One label that all selected pods carry; None if there is no such label."""
    errors: tuple[schema.Problem, ...]
    depends_on_token_volume_name: bool
    """Whether the random name of a service account token's volume can change the result."""
    token_uses: Mapping[str, int]
    """How often the spec contains each token, such as `params.NAME`."""
    parts: int
    """How many values the spec consists of: to merge it is that much work."""
    spec_schema: schema.Schema = dataclasses.field(repr=False)
    """The schema of `spec` in the CRD."""

    @property
    def is_cluster(self) -> bool:
        """Whether it may work in every enabled namespace."""
        return self.kind == names.CLUSTER_KIND

    @property
    def reference(self) -> str:
        """As a pod's annotation may list it: `NAME` or `cluster/NAME`."""
        return f"{names.CLUSTER_PREFIX}{self.name}" if self.is_cluster else self.name

    @property
    def identity(self) -> tuple[str, str]:
        """Kind and name: unique among all that can apply to one pod."""
        return self.kind, self.name

    @property
    def order(self) -> tuple[int, bool, str]:
        """The key that sorts injections into the order in which they are tried; the first wins."""
        return -_integer(self.spec.get("priority")), not self.is_cluster, self.name

    @property
    def must_succeed(self) -> bool:
        """Whether a pod is refused when this injection applies and cannot be added."""
        return bool(self.spec.get("failurePolicy") == "Fail")

    @property
    def is_dry_run(self) -> bool:
        """Whether it is only decided about: it adds nothing, and no pod is refused for it."""
        return bool(self.spec.get("dryRun"))

    @property
    def is_mandatory(self) -> bool:
        """Whether pods cannot opt out of it; a namespace's own injections cannot ask for that."""
        return self.is_cluster and self.spec.get("optOut") == "Forbidden"

    @property
    def is_compiled(self) -> bool:
        """Whether an admission policy shall add it; a namespace's own cannot ask for that."""
        return self.is_cluster and self.spec.get("engine") == "Policy"

    @property
    def template_spec(self) -> Mapping[str, Any]:
        """The pod spec of the template; empty if it has none, or the injection has errors."""
        if self.errors:
            return {}
        return (self.spec.get("template") or {}).get("spec") or {}

    @property
    def template_metadata(self) -> Mapping[str, Any]:
        """The metadata of the template; empty if it has none, or the injection has errors."""
        if self.errors:
            return {}
        return (self.spec.get("template") or {}).get("metadata") or {}


def read(resource: Mapping[str, Any], *, spec_schema: schema.Schema) -> Injection:
    """The injection in a custom resource of one of our kinds; never fails.

    `spec_schema` is the schema of `spec` in the CRD of that kind. `errors` contains what the schema
    or our own rules forbid, with field paths that begin with `spec`.
    """
    kind = str(resource.get("kind"))
    metadata = resource.get("metadata") or {}
    spec: Any = resource.get("spec") or {}
    errors: tuple[schema.Problem, ...]
    if (count := lenient.size(spec)) > MAX_BYTES:
        errors = (schema.Problem("spec", f"has {count} bytes, at most {MAX_BYTES} are accepted"),)
        spec = _matching_fields(spec)
    else:
        spec = schema.defaulted(spec_schema, spec)
        errors = _errors(spec, spec_schema, kind=kind, name=metadata.get("name", ""))

    return Injection(
        kind=kind,
        namespace=None if kind == names.CLUSTER_KIND else metadata.get("namespace"),
        name=metadata.get("name", ""),
        generation=metadata.get("generation"),
        uid=metadata.get("uid") or "",
        spec=spec if isinstance(spec, dict) else {},
        hash=template_hash(spec),
        selector=_selector(spec, "selector"),
        namespace_selector=_selector(spec, "namespaceSelector"),
        required_label=None if errors else selectors.required_label(spec.get("selector")),
        errors=errors,
        depends_on_token_volume_name=not errors and _depends_on_token_volume_name(spec),
        token_uses={} if errors else parameters.token_uses(spec),
        parts=0 if errors else _parts(spec) + _pattern_parts(spec),
        spec_schema=spec_schema,
    )


def _errors(
    spec: Any, spec_schema: schema.Schema, *, kind: str, name: str
) -> tuple[schema.Problem, ...]:
    """The first errors; what the schema refuses is not judged by the rules."""
    problems = schema.problems(spec_schema, spec, path="spec")
    if errors := tuple(itertools.islice(problems, MAX_ERRORS)):
        return errors
    by_rules = itertools.chain(
        rules.problems(kind=kind, name=name, spec=spec),
        parameters.type_problems(spec, spec_schema),
    )
    return tuple(itertools.islice(by_rules, MAX_ERRORS))


def _matching_fields(spec: Any) -> Any:
    """The fields of a spec that is too large by which a pod is told that it is not injected."""
    members = spec if isinstance(spec, dict) else {}
    matching = {key: members[key] for key in members.keys() & MATCHING}
    return matching if lenient.size(matching) <= MAX_MATCHING_BYTES else {}


def not_kept(resource: Mapping[str, Any], *, kind: str, sentence: str) -> Injection:
    """An injection of which only the metadata is kept, with the reason as its error."""
    bare = {"kind": kind, "metadata": resource.get("metadata")}
    injection = read(bare, spec_schema={})
    error = schema.Problem("spec", sentence)
    return dataclasses.replace(injection, hash="", selector=selectors.nothing, errors=(error,))


def template_hash(spec: Any) -> str:
    """The hash of everything that shapes a pod; it never changes for the same spec.

    So a field that a later version adds must be left out here while it has its default.
    """
    members = spec if isinstance(spec, dict) else {}
    shaping = {key: value for key, value in members.items() if key not in UNHASHED}
    text = json.dumps(shaping, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:HASH_DIGITS]


def _selector(spec: Any, field: str) -> selectors.Selector:
    """The compiled selector; an unreadable selector selects nothing."""
    try:
        selector = spec.get(field)
        if any(selectors.problems(selector, path=field)):
            return selectors.nothing
        return selectors.compile_selector(selector)
    except (AttributeError, TypeError, KeyError):
        # The schema refuses this shape, so it is in the errors.
        return selectors.nothing


def _depends_on_token_volume_name(spec: Any) -> bool:
    """Whether a spec without errors names such a volume, or has globs for names of volumes."""
    inherited = (spec.get("inherit") or {}).get("volumeMounts") or {}
    globs = (*(inherited.get("exclude") or ()), *(inherited.get("credentials") or ()))
    return any(
        not glob.startswith("/") for glob in globs
    ) or names.TOKEN_VOLUME_PREFIX in json.dumps(spec)


def _parts(value: Any) -> int:
    if isinstance(value, dict):
        quantities = sum(len(value.get(key) or ()) for key in ("limits", "requests"))
        return 1 + (QUANTITY_PARTS - 1) * quantities + sum(map(_parts, value.values()))
    return 1 + sum(map(_parts, value)) if isinstance(value, list) else 1


def _pattern_parts(spec: Mapping[str, Any]) -> int:
    declared = spec.get("parameters") or ()
    return PATTERN_PARTS * sum(bool(parameter.get("pattern")) for parameter in declared)


def _integer(value: Any) -> int:
    return value if isinstance(value, int) else 0
