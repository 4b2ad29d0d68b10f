"""What a policy cannot do, by the field of the injection. docs/policies.md lists this table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from sidecar_injector import names
from sidecar_injector.core.injections import model, parameters
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.merging import additions, container_additions, defaults
from sidecar_injector.core.pods import api_fields, lenient
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.policies import cel, pod_facts
from sidecar_injector.core.validity import releases, security

Json = dict[str, Any]
_POD: Final = "template.spec"
_CONTAINER: Final = "template.spec.containers[]"
_APPLIED: Final = "applicationContainers"
_DEFAULT = re.compile(rf"[ -~]{{0,{pod_facts.LONGEST_VALUE}}}")
_GROUP = re.compile(r"\(\?P?<[!-=?-~]*[^!-~]")
_PLAIN_PATH = re.compile(r"(/[^/]+)+/?")
_DOTS = re.compile(r"/\.\.?(/|$)")
_OF_WEBHOOK: Final = (
    names.DEFAULT_CONTAINER_ANNOTATION, names.SAFE_TO_EVICT_ANNOTATION,
    names.TUTORIAL_STATUS_ANNOTATION,
)  # fmt: skip
_DEPENDS: Final = "is valid or not by the rest of the pod"


class Rule(NamedTuple):
    """One row: a field, why it is not compiled, and where a value has it."""

    path: str
    """Below `spec`; `[]` are the items of a list, `containers` are also `initContainers`."""
    why: str
    """Completes "FIELD …"."""
    is_used: Callable[[Any], object] = bool
    """Whether a value of the field needs it; only asked of a field that is there."""


def is_set(value: Any) -> bool:
    """Whether the field is there, be it false or empty."""
    return value is not None


def _repeats(*keys: str, field: api_fields.Field = api_fields.RULE) -> Callable[[list[Any]], bool]:
    """Whether the webhook adds one of the items only, as another one is the same to it."""

    def test(items: list[Any]) -> bool:
        index = defaults.ItemIndex(field=field, keys=keys)
        for item in items:
            if index.find(item):
                return True
            index.add(item)
        return False

    return test


def _mounts_twice(mounts: list[Json]) -> bool:
    paths = [mount["mountPath"] for mount in mounts]
    is_plain = all(_PLAIN_PATH.fullmatch(path) and not _DOTS.search(path) for path in paths)
    return not is_plain or len({*map(container_additions.clean_path, paths)}) < len(paths)


def _sleeps(lifecycle: Json) -> bool:
    return any("sleep" in lenient.child(lifecycle, when) for when in ("postStart", "preStop"))


def _reads_file(variables: list[Json]) -> bool:
    return any(lenient.child(variable, "valueFrom").get("fileKeyRef") for variable in variables)


def _has_odd_default(declared: list[Json]) -> bool:
    values = (parameter.get("default") for parameter in declared)
    return not all(value is None or _DEFAULT.fullmatch(str(value)) for value in values)


def _loses_digits(declared: list[Json]) -> bool:
    """Whether an integer with an `enum`, which may be a number in the pod, has such a value."""
    integers = (each for each in declared if each.get("type") == "Integer")
    values = (int(value) for each in integers for value in each.get("enum") or ())
    return any(abs(value) > cel.MOST_EXACT for value in values)


def _is_for_webhook_only(pattern: str) -> bool:
    """Whether the API server refuses the pattern where a policy has it, inside of a group: an open
    `\\Q` takes the end of the group for text. Go, unlike RE2, wants names of groups in ASCII."""
    problem = parameters.pattern_problem(f"^(?:{pattern})$")
    return bool(problem or "\\C" in pattern or _GROUP.search(pattern))


def _has_profile(annotations: Json) -> bool:
    prefixes = (security.APP_ARMOR_PREFIX, security.SECCOMP_PREFIX, "seccomp.security.alpha")
    return any(key.startswith(prefixes) for key in annotations)


_DYNAMIC: Final = "has a value that depends on the pod"
_NOT_SEEN: Final = "a policy cannot see whether it exists, and then the pod would be refused"
RULES: Final = (
    Rule("operatingSystem", "is Windows", lambda value: value == "Windows"),
    Rule("dryRun", "is decided about by the webhook alone"),
    Rule("inherit", "takes parts of the pod's own containers, which a policy cannot copy"),
    Rule(
        "parameters", "has a default that is no printable ASCII or has more than"
        f" {pod_facts.LONGEST_VALUE} characters", _has_odd_default,
    ),
    Rule("parameters", "has an enum with an integer of more than 53 bits", _loses_digits),
    Rule(
        "parameters[].pattern", "has \\C, \\Q without \\E, or a group whose name is no ASCII",
        _is_for_webhook_only,
    ),
    Rule(f"{_POD}.serviceAccountName", _NOT_SEEN),
    Rule(f"{_POD}.hostNetwork", "changes which ports of the pod collide"),
    Rule(f"{_POD}.hostPID", _DEPENDS),
    Rule(f"{_POD}.shareProcessNamespace", _DEPENDS, is_set),
    Rule(f"{_POD}.hostAliases", "is united with the aliases of the pod"),
    Rule(f"{_POD}.dnsConfig", "has limits that count what the pod has"),
    Rule(f"{_POD}.imagePullSecrets", "has one twice", _repeats("name")),
    Rule(
        f"{_POD}.tolerations", "has one twice",
        _repeats(field=api_fields.of_template(("tolerations",))),
    ),
    Rule(
        f"{_POD}.topologySpreadConstraints", "has one twice",
        _repeats("topologyKey", "whenUnsatisfiable"),
    ),
    Rule(f"{_POD}.topologySpreadConstraints[].matchLabelKeys", "depends on the pod's labels"),
    Rule(f"{_POD}.volumes[].emptyDir.medium", _DYNAMIC, pod_facts.has_token),
    Rule(f"{_POD}.volumes[].ephemeral", "depends on the name of the pod"),
    Rule(f"{_CONTAINER}.resizePolicy", _DEPENDS),
    Rule(f"{_CONTAINER}.restartPolicyRules", _DEPENDS),
    Rule(f"{_CONTAINER}.volumeDevices", "needs a volume of the pod's own"),
    Rule(f"{_CONTAINER}.resources.claims", "needs a claim of the pod's own"),
    Rule(f"{_CONTAINER}.lifecycle.stopSignal", "needs a pod that names its operating system"),
    Rule(f"{_CONTAINER}.lifecycle", "has a sleep, which the pod's grace period limits", _sleeps),
    Rule(f"{_CONTAINER}.securityContext.windowsOptions", "is for Windows"),
    Rule(f"{_CONTAINER}.securityContext.procMount", _DEPENDS),
    Rule(f"{_CONTAINER}.ports[].hostPort", "may be taken by another container of the pod"),
    Rule(f"{_CONTAINER}.env", "has a fileKeyRef, which needs a volume", _reads_file),
    Rule(
        "template.metadata.annotations", "has one that the injector writes itself",
        lambda annotations: any(key in annotations for key in _OF_WEBHOOK),
    ),
    Rule(
        "template.metadata.annotations", "has AppArmor or seccomp profiles", _has_profile,
    ),
    Rule(f"{_APPLIED}.env", "has one twice", _repeats("name")),
    Rule(f"{_APPLIED}.env", "has a fileKeyRef, which needs a volume", _reads_file),
    Rule(f"{_APPLIED}.envFrom", "has one twice", _repeats()),
    Rule(f"{_APPLIED}.envFrom", _DYNAMIC, pod_facts.has_token),
    Rule(f"{_APPLIED}.volumeMounts", _DYNAMIC, pod_facts.has_token),
    Rule(f"{_APPLIED}.volumeMounts", "has one twice, or a path with .. or //", _mounts_twice),
    Rule(
        f"{_APPLIED}.volumeMounts[].mountPropagation", "asks for a privileged container",
        lambda value: value not in ("", "None"),
    ),
    Rule(f"{_APPLIED}.volumeMounts[].subPathExpr", "needs variables of the container"),
    Rule(f"{_APPLIED}.appendEnv", "has one twice", _repeats("name")),
    Rule(f"{_APPLIED}.appendEnv", _DYNAMIC, pod_facts.has_token),
    *(Rule(f"{_POD}.{field}", _DYNAMIC, pod_facts.has_token) for field in additions.LISTS),
    Rule(f"{_APPLIED}.appendEnv[].separator", "is empty", lambda value: not value),
)  # fmt: skip
"""In the order of the reference."""


def check(injection: model.Injection, *, minor: int | None) -> Iterator[Problem]:
    """What of an injection is not compiled, as (field path, reason)."""
    yield from injection.errors
    if injection.errors:
        return
    if not injection.is_cluster and not injection.namespace:
        yield Problem("metadata.namespace", "is missing: a policy must know it")
    for rule in RULES:
        for path, value in _at(injection.spec, rule.path.split("."), "spec"):
            if value is not None and rule.is_used(value):
                yield Problem(path, rule.why)
    for part in ("template", "applicationContainers"):
        try:
            cel.literal(injection.spec.get(part))
        except cel.NotExactError as error:
            yield Problem(f"spec.{part}", f"has the number {error}, which loses digits in a policy")
    for path in releases.dropped(injection.spec, minor=releases.in_table(minor)):
        yield Problem(path, "is dropped by this release of Kubernetes")
    for index, parameter in enumerate(injection.spec.get("parameters") or ()):
        pattern = parameter.get("pattern")
        if pattern and parameters.longest_match(pattern) < pod_facts.LONGEST_VALUE:
            yield Problem(f"spec.parameters[{index}].pattern", "takes too long for long values")


def _at(value: Any, steps: list[str], path: str) -> Iterator[tuple[str, Any]]:
    """The values of a field, each with its path; a list of containers is both lists."""
    if not steps:
        yield path, value
        return
    step = steps[0].removesuffix("[]")
    for field in pod_fields.CONTAINER_LISTS if step == "containers" else (step,):
        member, here = value.get(field), f"{path}.{field}"
        if steps[0].endswith("[]"):
            for index, item in enumerate(member or ()):
                yield from _at(item, steps[1:], f"{here}[{index}]")
        elif member is not None:
            yield from _at(member, steps[1:], here)
