"""What a policy looks at in a pod, as variables that all injections share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.injections import model, parameters
from sidecar_injector.core.merging import defaults
from sidecar_injector.core.merging.status_annotation import json_text
from sidecar_injector.core.pods import annotation, api_fields
from sidecar_injector.core.policies import cel

Json = dict[str, Any]
MOST_CONTAINERS: Final = 20
LONGEST_VALUE: Final = 400
"""Characters of a parameter's value."""
LABEL_KEYS: Final = ("matchLabelKeys", "mismatchLabelKeys")
TERMS: Final = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
LISTS: Final[Mapping[str, str]] = {"containers": "cfacts", "initContainers": "ifacts"}
"""The variables with the facts of each container of a list."""


def define(variables: cel.Variables) -> None:
    """The variables that all injections share; the API server computes only those that are used."""
    for name, expression in _FACTS.items():
        variables.let(name, expression)


def containers(injection: model.Injection) -> list[Json]:
    """The containers of the template, init containers first."""
    spec = injection.template_spec
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def applied(injection: model.Injection) -> Mapping[str, Any]:
    """What the pod's own containers receive."""
    return injection.spec.get("applicationContainers") or {}


def has_token(value: Any) -> bool:
    """Whether a value may depend on the pod."""
    return any(hint in json_text(value) for hint in ("$(params.", "$(pod."))


def image(injection: model.Injection, container: Json) -> str:
    """The image with all filled in that does not depend on the pod."""
    own = {"injection.name": injection.name}
    return parameters.TOKEN.sub(lambda match: own.get(match[1], match[0]), container["image"])


def stored_volume(volume: Json) -> Json | None:
    """The volume as a pod has it after the API server's defaults; None where that is not sure."""
    kinds = [key for key, value in volume.items() if key != "name" and value is not None]
    if kinds in ([], ["emptyDir"]):
        source = volume.get("emptyDir") or {}
        if any(value is not None for key, value in source.items() if key != "medium"):
            return None
        medium = {"medium": source["medium"]} if source.get("medium") else {}
        return {"name": volume["name"], "emptyDir": medium}
    if kinds in (["configMap"], ["secret"]):
        (kind,) = kinds
        stored: Json = defaults.without_absent(volume, api_fields.VOLUME)
        # An empty source is none in the API server.
        if stored.get(kind):
            return {**stored, kind: {"defaultMode": 420, **stored[kind]}}
    return None


def _fact_of_containers(field: str) -> str:
    """Name, env, names in it, keys of envFrom, prefixes in it, mount paths, what is mounted."""
    own = f"object.spec.{'?initContainers.orValue([])' if field == 'initContainers' else field}"
    mounts, env = "c.?volumeMounts.orValue([])", "c.?env.orValue([])"
    sources = "c.?envFrom.orValue([])"
    members = {
        "n": "c.name",
        "v": env,
        "e": f"{env}.map(e, e.name)",
        "f": f"{sources}.map(f, {_SOURCE_KEY})",
        "u": f'{sources}.map(f, f.?prefix.orValue(""))',
        "m": f"{mounts}.map(m, {_CLEAN})",
        "w": f'{mounts}.map(m, m.name + " " + m.?subPath.orValue(""))',
        **{kind: f"has(c.{kind})" for kind in ("env", "envFrom", "volumeMounts")},
    }
    return f"{own}.map(c, {cel.literal({key: cel.Cel(value) for key, value in members.items()})})"


_CLEAN = (
    '(m.mountPath.endsWith("/") && size(m.mountPath) > 1'
    " ? m.mountPath.substring(0, size(m.mountPath) - 1) : m.mountPath)"
)
_SOURCE_KEY = (
    ' + "|" + '.join(
        part
        for kind in ("configMapRef", "secretRef")
        for part in (f'f.?{kind}.?name.orValue("")', f"string(f.?{kind}.?optional.orValue(false))")
    )
    + ' + "|" + f.?prefix.orValue("")'
)


def source_key(source: Mapping[str, Any]) -> str:
    """What is the same for equal items of `envFrom`; no name has a `|`."""
    parts = []
    for kind in ("configMapRef", "secretRef"):
        reference = source.get(kind) or {}
        parts += [reference.get("name") or "", "true" if reference.get("optional") else "false"]
    return "|".join([*parts, source.get("prefix") or ""])


def _words(words: frozenset[str]) -> str:
    return cel.strings(sorted(words))


_LABEL_KEYS: Final = cel.total(
    f"{items}.map(t, {' + '.join(f'{owner}.?{field}.orValue([])' for field in fields)}).flatten()"
    for items, owner, fields in (
        ("object.spec.?topologySpreadConstraints.orValue([])", "t", LABEL_KEYS[:1]),
        *(
            (f"object.spec.?affinity.?{kind}.?{when}.orValue([])", owner, LABEL_KEYS)
            for kind in ("podAffinity", "podAntiAffinity")
            for when, owner in zip(TERMS, ("t", "t.podAffinityTerm"), strict=True)
        ),
    )
)
_WORD: Final = (
    f'{{0}} in {_words(annotation.YES)} ? "yes" : {{0}} in {_words(annotation.NO)} ? "no"'
)
_NAMED: Final = cel.text(f"^(?:{annotation.NAME.pattern})$")
_FACTS: Final[Mapping[str, str]] = {
    "labels": "object.metadata.?labels.orValue({})",
    "annotations": "object.metadata.?annotations.orValue({})",
    "nslabels": "namespaceObject.metadata.?labels.orValue({})",
    # What the author asks for, as `pods.annotation` reads it.
    "said": f'object.metadata.?annotations[?{cel.text(names.INJECT_ANNOTATION)}].orValue("")',
    "word": "variables.said.trim().lowerAscii()",
    "only": 'variables.said.matches("^[\\\\s\u00a0]*[oO][nN][lL][yY][\\\\s\u00a0]*:")',
    "items": (
        '(variables.only ? variables.said.substring(variables.said.indexOf(":") + 1)'
        ' : variables.said).split(",").map(x, x.trim()).filter(x, x != "")'
    ),
    "readable": (
        "size(variables.items) > 0 && variables.items.all(x,"
        f" !(x.lowerAscii() in {_words(annotation.YES | annotation.NO)}) && x.matches({_NAMED}))"
    ),
    "own": (
        f"{_WORD.format('variables.word')}"
        ' : variables.readable ? (variables.only ? "only" : "list") : "none"'
    ),
    # The tutorial's annotation counts where ours says nothing.
    "theirs": (
        f'object.metadata.?annotations[?{cel.text(names.TUTORIAL_INJECT_ANNOTATION)}].orValue("")'
    ),
    "tword": "variables.theirs.trim().lowerAscii()",
    "tutorial": f'variables.own == "none" ? ({_WORD.format("variables.tword")} : "none") : "none"',
    "wish": 'variables.tutorial == "none" ? variables.own : variables.tutorial',
    "listed": 'variables.wish in ["list", "only"] ? variables.items : []',
    "hostnet": "object.spec.?hostNetwork.orValue(false)",
    "ends": 'object.spec.?restartPolicy.orValue("Always") != "Always"',
    "account": 'object.spec.?serviceAccountName.orValue("default")',
    "every": "object.spec.containers + object.spec.?initContainers.orValue([])",
    "names": "variables.every.map(c, c.name)",
    "images": 'variables.every.map(c, c.name + " " + c.?image.orValue(""))',
    "portnames": 'variables.every.map(c, c.?ports.orValue([]).map(p, p.?name.orValue("")))'
    ".flatten()",
    "volumes": "object.spec.?volumes.orValue([]).map(x, x.name)",
    "mounted": (
        "variables.every.map(c, c.?volumeMounts.orValue([]).map(m, m.name)"
        " + c.?volumeDevices.orValue([]).map(m, m.name)).flatten()"
    ),
    **{variable: _fact_of_containers(field) for field, variable in LISTS.items()},
    "labelkeys": _LABEL_KEYS,
    # The level of Pod Security, and three facts that decide what it forbids.
    "level": f'variables.nslabels[?"{names.POD_SECURITY_ENFORCE_LABEL}"].orValue("privileged")',
    "secure": (
        '(variables.level in ["privileged", "baseline"] ? variables.level : "restricted")'
        ' + (object.spec.?securityContext.?runAsNonRoot.orValue(false) ? " 1" : " 0")'
        ' + (object.spec.?securityContext.?seccompProfile.?type.orValue("")'
        ' in ["RuntimeDefault", "Localhost"] ? "1" : "0")'
        ' + (object.spec.?hostUsers.orValue(true) ? "1" : "0")'
    ),
}


def source_of(parameter: Mapping[str, Any]) -> tuple[str, str]:
    """Where a parameter is read from: one of `parameters.SOURCES`, and the key there."""
    return next((source, key) for source, key in parameter["from"].items() if key)


def lookup(parameter: Mapping[str, Any]) -> str:
    """An expression for the optional value of a parameter."""
    source, key = source_of(parameter)
    owner = "object" if source.startswith("pod") else "namespaceObject"
    field = "annotations" if source.endswith("Annotation") else "labels"
    return f"{owner}.metadata.?{field}[?{cel.text(key)}]"


def is_selected(spec: Mapping[str, Any], name: str) -> str:
    """Whether applicationContainers means the container of this name."""
    globs = spec.get("names") or {}
    include = globs.get("include")
    left_out = cel.matches(name, globs.get("exclude") or ())
    is_left_in = {"false": "true", "true": "false"}.get(left_out, f"!{left_out}")
    return cel.every([cel.matches(name, ["*"] if include is None else include), is_left_in])


def applied_lists(spec: Mapping[str, Any]) -> list[str]:
    """The lists of containers that receive something of applicationContainers."""
    include = ["initContainers"] if spec.get("initContainers") == "Include" else []
    return ["containers", *include] if spec else []


def any_receives(spec: Mapping[str, Any], condition: str = "true") -> str:
    """Whether the condition is true for one of the containers `x` that receive something."""
    test = cel.every([is_selected(spec, "x.n"), condition])
    return cel.some(f"variables.{LISTS[field]}.exists(x, {test})" for field in applied_lists(spec))


def uncertain(name: str) -> str:
    """Whether a source of the container `x` may set a variable that the container does not."""
    key = cel.text(name)
    return f"(!({key} in x.e) && x.u.exists(p, {key}.startsWith(p)))"
