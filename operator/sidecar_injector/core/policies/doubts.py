"""Kinds of pods that a policy leaves to the webhook, most of them rare.

To decide about them, expressions would have to know more than is worth it. Each kind has its
condition twice: in CEL for the policy, and in Python for those who explain a pod.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view, parameters
from sidecar_injector.core.merging import additions, container_additions, marks
from sidecar_injector.core.merging.status_annotation import json_text
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import lenient, operating_system, references
from sidecar_injector.core.policies import cel, pod_facts
from sidecar_injector.core.validity import pod_security

Json = dict[str, Any]
Expression = str | Callable[[model.Injection], str]
MOST_ANNOTATIONS: Final = 30_000
"""Characters of a pod's annotations: with a status annotation they are far from the API server's
limit, in whatever bytes."""
MOST_RECORDED: Final = 65_000
"""Characters, which are bytes, of a status annotation: it has all annotations that are added, and
twice as much fits into 256 KiB beside the others in whatever bytes."""
MOST_NAMESPACE_ANNOTATIONS: Final = 2_000
"""Characters; of larger ones the webhook keeps only some."""
MOST_REQUESTED: Final = 1_000
"""Characters of both annotations by which a pod requests something."""
REQUESTS: Final = (names.INJECT_ANNOTATION, names.TUTORIAL_INJECT_ANNOTATION)
"""Annotations by which a pod asks for injections."""
_PROFILES: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)
"""Annotations with a profile of a container, which fields of the container must repeat."""
_OS_LABELS: Final = cel.strings(operating_system.LABELS)
_NEEDED: Final = pod_facts.TERMS[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What a doubt is about: an injection and a pod, as the API server has it, in a namespace."""

    injection: model.Injection
    pod: Mapping[str, Any]
    namespace: namespace_view.Namespace

    @property
    def spec(self) -> Json:
        """The spec of the pod."""
        return lenient.child(self.pod, "spec")

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the pod."""
        return pod_fields.metadata_map(self.pod, "labels")

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of the pod."""
        return pod_fields.metadata_map(self.pod, "annotations")

    @property
    def every(self) -> list[Json]:
        """All containers of the pod."""
        return pod_fields.containers(self.pod)


@dataclasses.dataclass(frozen=True, slots=True)
class Doubt:
    """One kind of pods."""

    sentence: str
    """About the pod, for people."""
    expression: Expression
    """The condition, or a function that makes it."""
    holds: Callable[[Context], object]
    concerns: Callable[[model.Injection], object] = lambda injection: True
    """Whether an injection has what such a pod may be in the way of."""

    def condition(self, injection: model.Injection) -> str:
        """The condition in CEL for this injection; `false` where it does not concern it."""
        if not self.concerns(injection):
            return "false"
        return self.expression if isinstance(self.expression, str) else self.expression(injection)


def of(
    injection: model.Injection, pod: Mapping[str, Any], namespace: namespace_view.Namespace
) -> Iterator[str]:
    """Why a policy with this injection leaves a pod to the webhook, one sentence each."""
    context = Context(injection, pod, namespace)
    for doubt in (*OF_PODS, *OF_INJECTIONS):
        if doubt.condition(injection) != "false" and doubt.holds(context):
            yield doubt.sentence


def any_of_pods() -> str:
    """Whether a pod is left alone, whatever the injections are."""
    return cel.some(str(doubt.expression) for doubt in OF_PODS)


def any_of(injection: model.Injection) -> str:
    """Whether a pod is left alone because of this injection."""
    return cel.some(doubt.condition(injection) for doubt in OF_INJECTIONS)


def _printable(longest: int) -> str:
    """A pattern; Python reads it as CEL does if it matches in full."""
    return f"^[ -~\t\n\r]{{0,{longest}}}$"


def _size(annotations: Mapping[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in annotations.items())


def _characters(annotations: str) -> str:
    return f"{annotations}.map(k, size(k) + size({annotations}[k])).sum()"


def _is_not_surely_linux(context: Context) -> bool:
    selected = lenient.child(context.spec, "nodeSelector")
    affinity = lenient.child(lenient.child(context.spec, "affinity"), "nodeAffinity")
    terms = lenient.objects(lenient.child(affinity, _NEEDED), "nodeSelectorTerms")
    keys = {each.get("key") for term in terms for each in lenient.objects(term, "matchExpressions")}
    return (
        lenient.text(context.spec.get("os"), "name") not in ("", "linux")
        or any(selected.get(label, "linux") != "linux" for label in operating_system.LABELS)
        or not all(term.get("matchExpressions") or term.get("matchFields") for term in terms)
        or not keys.isdisjoint(operating_system.LABELS)
    )


_NOT_SURELY_LINUX: Final = " || ".join((
    '!(object.spec.?os.?name.orValue("linux") in ["", "linux"])',
    f'{_OS_LABELS}.exists(k, object.spec.?nodeSelector[?k].orValue("linux") != "linux")',
    (f"object.spec.?affinity.?nodeAffinity.?{_NEEDED}.?nodeSelectorTerms.orValue([]).exists(t, "
     "size(t.?matchExpressions.orValue([])) + size(t.?matchFields.orValue([])) == 0 || "
     f"t.?matchExpressions.orValue([]).exists(e, e.key in {_OS_LABELS}))"),
))  # fmt: skip

REQUEST: Final = _printable(MOST_REQUESTED).replace("-~", "-~\u00a0")
"""A space that does not break a line is one for all."""

OF_PODS: Final = (
    Doubt(
        "it carries a status annotation",
        f"{cel.text(names.STATUS_ANNOTATION)} in variables.annotations",
        lambda context: names.STATUS_ANNOTATION in context.annotations,
    ),
    Doubt(
        f"it has the label {names.INJECTION_LABEL}={names.DISABLED}",
        f'variables.labels[?{cel.text(names.INJECTION_LABEL)}].orValue("") == "{names.DISABLED}"',
        lambda context: context.labels.get(names.INJECTION_LABEL) == names.DISABLED,
    ),
    Doubt(
        "it carries a mark of the injector, which somebody else has set",
        " || ".join(
            f"{cel.text(key)} in variables.{field}" for field, key in marks.PLACES.values()
        ),
        lambda context: marks.of_author(lenient.child(context.pod, "metadata")),
    ),
    Doubt(
        f"its annotation {names.INJECT_ANNOTATION}, or the tutorial's, is no printable ASCII",
        f"!(variables.said + variables.theirs).matches({cel.text(REQUEST)})",
        lambda context: not re.fullmatch(
            REQUEST, "".join(context.annotations.get(key, "") for key in REQUESTS)
        ),
    ),
    Doubt(
        f"its annotations have more than {MOST_ANNOTATIONS} characters",
        f"{_characters('variables.annotations')} > {MOST_ANNOTATIONS}",
        lambda context: _size(context.annotations) > MOST_ANNOTATIONS,
    ),
    Doubt("it is not surely for Linux", _NOT_SURELY_LINUX, _is_not_surely_linux),
    Doubt(
        f"it has more than {pod_facts.MOST_CONTAINERS} containers",
        f"size(variables.every) > {pod_facts.MOST_CONTAINERS}",
        lambda context: len(context.every) > pod_facts.MOST_CONTAINERS,
    ),
)  # fmt: skip
"""Those for which a pod is left alone as a whole, whatever the injections are."""


def _has_label_keys(context: Context) -> bool:
    affinity = lenient.child(context.spec, "affinity")
    terms = lenient.objects(context.spec, "topologySpreadConstraints") + [
        term.get("podAffinityTerm", term)
        for kind in ("podAffinity", "podAntiAffinity")
        for when in pod_facts.TERMS
        for term in lenient.objects(lenient.child(affinity, kind), when)
    ]
    added, fields = context.injection.template_metadata.get("labels") or {}, pod_facts.LABEL_KEYS
    keys = (key for term in terms for field in fields for key in lenient.strings(term, field))
    return any(key in added for key in keys)


_TEXTS: Final[Mapping[str, Callable[[Context], list[str]]]] = {
    "names": lambda context: [container["name"] for container in context.every],
    "images": lambda context: [
        f"{container['name']} {lenient.text(container, 'image')}" for container in context.every
    ],
    "portnames": lambda context: [
        lenient.text(port, "name")
        for container in context.every for port in container.get("ports") or ()
    ],
    "volumes": lambda context: [
        volume["name"] for volume in pod_fields.items(context.pod, "volumes")
    ],
}  # fmt: skip
"""What the variables of these names have."""


def _shares(sentence: str, texts: Callable[[model.Injection], Iterable[tuple[str, str]]]) -> Doubt:
    """The pod has one of these texts, each in the variable beside it."""
    return Doubt(
        sentence,
        lambda injection: cel.some(
            f"{cel.text(text)} in variables.{variable}" for variable, text in texts(injection)
        ),
        lambda context: any(
            text in _TEXTS[variable](context) for variable, text in texts(context.injection)
        ),
    )


def _port_names(injection: model.Injection) -> Iterator[tuple[str, str]]:
    containers = pod_facts.containers(injection)
    ports = (port for container in containers for port in container.get("ports") or ())
    for name in sorted({port["name"] for port in ports if port.get("name")}):
        yield "portnames", name


def _container_names(injection: model.Injection) -> Iterator[tuple[str, str]]:
    """Those of the template; with the image if it says that a container is another one."""
    merges = injection.spec.get("onConflict") == "Merge"
    for container in pod_facts.containers(injection):
        if merges or pod_facts.has_token(container["image"]):
            yield "names", container["name"]
        else:
            yield "images", f"{container['name']} {pod_facts.image(injection, container)}"


def _incomparable_volumes(injection: model.Injection) -> Iterator[tuple[str, str]]:
    for volume in injection.template_spec.get("volumes") or ():
        if pod_facts.stored_volume(volume) is None:
            yield "volumes", volume["name"]


def _any_container_has(injection: model.Injection, field: str) -> bool:
    return any(container.get(field) for container in pod_facts.containers(injection))


def _ends_of_paths(injection: model.Injection) -> list[str]:
    """The last names of the mount paths: in whatever way a path is written, it has that name."""
    mounts = pod_facts.applied(injection).get("volumeMounts") or ()
    paths = (container_additions.clean_path(mount["mountPath"]) for mount in mounts)
    return sorted({path.rpartition("/")[2] for path in paths})


_ODD_PATH: Final = (
    '(!m.mountPath.matches("^(/|(/[^/]+)+/?)$") || m.mountPath.matches("/[.][.]?(/|$)"))'
)


def _is_shortest(path: str) -> bool:
    is_clean = path == "/" or container_additions.clean_path(path) == path.removesuffix("/")
    return is_clean and path.startswith("/") and not path.startswith("//")


def _variables(injection: model.Injection) -> list[Json]:
    spec = pod_facts.applied(injection)
    return [*(spec.get("env") or ()), *(spec.get("appendEnv") or ())]


def _needs_certainty(injection: model.Injection) -> bool:
    """Whether more depends on variables than themselves: others refer to them, or nothing else is
    added."""
    spec, variables = pod_facts.applied(injection), _variables(injection)
    if spec.get("onEnvFrom") == "Override" or not variables:
        return False
    template, metadata = injection.template_spec, injection.template_metadata
    others = (template.get(field) for field in (*pod_fields.CONTAINER_LISTS, *additions.LISTS))
    has_others = any((*others, *metadata.values(), spec.get("envFrom"), spec.get("volumeMounts")))
    names_added = {variable["name"] for variable in variables}
    refers = bool(references.of_items(variables, "value") & names_added)
    return refers or any(map(_may_refer, variables)) or not has_others


def _may_refer(variable: Json) -> bool:
    """Whether what a pod fills in may decide to which variables the value refers."""
    text = variable.get("value") or ""
    rest = parameters.TOKEN.sub(lambda match: "" if match[1] else match[0], text)
    return rest != text and "$(" in rest


def _may_need_forbidden_volume(injection: model.Injection) -> bool:
    """Whether only some pods need a volume of a kind that Pod Security forbids."""
    spec = pod_facts.applied(injection)
    owners = [*pod_facts.containers(injection)]
    if pod_facts.is_selected(spec, "x.n") == "true":
        owners.append(dict(spec))
    needed = {mount["name"] for owner in owners for mount in owner.get("volumeMounts") or ()}
    return any(
        volume["name"] not in needed and not pod_security.VOLUMES & volume.keys()
        for volume in injection.template_spec.get("volumes") or ()
    )


def _doubtful_variables(injection: model.Injection) -> str:
    doubtful = cel.some(pod_facts.uncertain(variable["name"]) for variable in _variables(injection))
    return pod_facts.any_receives(pod_facts.applied(injection), doubtful)


def _has_doubtful_variables(context: Context) -> bool:
    spec = pod_facts.applied(context.injection)
    return any(
        variable["name"].startswith(lenient.text(source, "prefix"))
        for field in pod_facts.applied_lists(spec)
        for container in pod_fields.items(context.pod, field)
        if container_additions.is_selected(container["name"], spec.get("names") or {})
        for variable in _variables(context.injection)
        if variable["name"] not in {own["name"] for own in container.get("env") or ()}
        for source in container.get("envFrom") or ()
    )


def _longest(parameter: Json, injection: model.Injection) -> int:
    """The most characters of a value with any text: a pattern limits the bytes of a value, and the
    API server trims more from a quantity than we do. What is recorded must be ASCII."""
    if parameter.get("type") == "Quantity":
        return 0
    token = f"$(params.{parameter['name']})"
    if token in json_text(injection.template_metadata):
        return 0
    return pod_facts.LONGEST_VALUE // (4 if parameter.get("pattern") else 1)


def _accepted(injection: model.Injection) -> Iterator[tuple[Json, str]]:
    """The parameters whose values are not known before, each with a pattern for all that is
    accepted of a value. An integer is compared as a whole."""
    for parameter in injection.spec.get("parameters") or ():
        if not parameter.get("enum") and parameter.get("type") != "Integer":
            any_text = f"(?s:^.{{0,{_longest(parameter, injection)}}}$)"
            yield parameter, f"{_printable(pod_facts.LONGEST_VALUE)}|{any_text}"


def _value(parameter: Json, context: Context) -> str:
    source, key = pod_facts.source_of(parameter)
    owner: Context | namespace_view.Namespace
    owner = context if source.startswith("pod") else context.namespace
    values = owner.annotations if source.endswith("Annotation") else owner.labels
    return values.get(key, "")


_ENFORCED: Final = f'variables.nslabels[?"{names.POD_SECURITY_VERSION_LABEL}"].orValue("")'
_WINDOWS: Final = "?securityContext.?windowsOptions.hasValue()"
OF_INJECTIONS: Final = (
    Doubt(
        "it has resources of its own, besides those of its containers",
        "object.spec.?resources.hasValue()",
        lambda context: "resources" in context.spec,
        concerns=lambda injection: _any_container_has(injection, "resources"),
    ),
    Doubt(
        "it has options for Windows",
        f"object.spec.{_WINDOWS} || variables.every.exists(c, c.{_WINDOWS})",
        lambda context: any(
            "windowsOptions" in lenient.child(owner, "securityContext")
            for owner in (context.spec, *context.every)
        ),
        concerns=pod_facts.containers,
    ),
    Doubt(
        "annotations give its containers AppArmor or seccomp profiles",
        "variables.annotations.exists(k, "
        + " || ".join(f"k.startsWith({cel.text(prefix)})" for prefix in _PROFILES) + ")",
        lambda context: any(key.startswith(_PROFILES) for key in context.annotations),
        concerns=pod_facts.containers,
    ),
    Doubt(
        "its namespace pins a version of Pod Security",
        f'!({_ENFORCED} in ["", "latest"])',
        lambda context: context.namespace.labels.get(names.POD_SECURITY_VERSION_LABEL, "")
        not in ("", "latest"),
        concerns=lambda injection: injection.template_spec,
    ),
    Doubt(
        "its namespace enforces Pod Security, and not every pod needs a volume that this forbids",
        'variables.level != "privileged"',
        lambda context: context.namespace.labels.get(
            names.POD_SECURITY_ENFORCE_LABEL, "privileged"
        ) != "privileged",
        concerns=_may_need_forbidden_volume,
    ),
    Doubt(
        "a container of it has a block device, which may be in the way of what is mounted",
        "variables.every.exists(c, c.?volumeDevices.hasValue())",
        lambda context: any(container.get("volumeDevices") for container in context.every),
        concerns=lambda injection: pod_facts.applied(injection).get("volumeMounts"),
    ),
    Doubt(
        "it has an ephemeral volume, whose claim may be the one of the template",
        "object.spec.?volumes.orValue([]).exists(v, v.?ephemeral.hasValue())",
        lambda context: any(
            volume.get("ephemeral") for volume in pod_fields.items(context.pod, "volumes")
        ),
        concerns=lambda injection: any(
            volume.get("persistentVolumeClaim")
            for volume in injection.template_spec.get("volumes") or ()
        ),
    ),
    Doubt(
        "its topology or affinity has matchLabelKeys with a label that is added",
        lambda injection: "variables.labelkeys.exists(k, k in "
        f"{cel.strings(sorted(injection.template_metadata['labels']))})",
        _has_label_keys,
        concerns=lambda injection: injection.template_metadata.get("labels"),
    ),
    Doubt(
        "a mount path in it is not written in the shortest way, and may be one of the injection's",
        lambda injection: cel.some(
            "variables.every.exists(c, c.?volumeMounts.orValue([]).exists(m,"
            f" {_ODD_PATH} && m.mountPath.contains({cel.text(end)})))"
            for end in _ends_of_paths(injection)
        ),
        lambda context: any(
            not _is_shortest(mount["mountPath"]) and end in mount["mountPath"]
            for container in context.every for mount in container.get("volumeMounts") or ()
            for end in _ends_of_paths(context.injection)
        ),
    ),
    Doubt(
        "a container of its own has a restart policy",
        "object.spec.containers.exists(c, c.?restartPolicy.hasValue()"
        " || c.?restartPolicyRules.hasValue())",
        lambda context: any(
            container.get("restartPolicy") or container.get("restartPolicyRules")
            for container in pod_fields.items(context.pod, "containers")
        ),
        concerns=lambda injection: injection.spec.get("sidecarMode", "Auto") == "Auto",
    ),
    Doubt(
        "it is on the host network, and the containers that are added have ports",
        "variables.hostnet",
        lambda context: context.spec.get("hostNetwork") is True,
        concerns=lambda injection: injection.spec.get("hostNetworkPods") == "Inject"
        and _any_container_has(injection, "ports"),
    ),
    _shares("a port of it has the name of a port that is added", _port_names),
    _shares("it has a container that may be the one of the template", _container_names),
    _shares(
        "it has a volume of that name, of a kind that only the webhook compares",
        _incomparable_volumes,
    ),
    Doubt(
        "a variable may come from envFrom of a container", _doubtful_variables,
        _has_doubtful_variables, concerns=_needs_certainty,
    ),
    Doubt(
        "a value that is filled in is long, or no printable ASCII where it must be",
        lambda injection: cel.some(
            f'!{pod_facts.lookup(parameter)}.orValue("").matches({cel.text(pattern)})'
            for parameter, pattern in _accepted(injection)
        ),
        lambda context: any(
            not re.fullmatch(pattern, _value(parameter, context))
            for parameter, pattern in _accepted(context.injection)
        ),
    ),
    Doubt(
        f"the annotations of its namespace have more than {MOST_NAMESPACE_ANNOTATIONS} characters",
        f"{_characters('namespaceObject.metadata.?annotations.orValue({})')}"
        f" > {MOST_NAMESPACE_ANNOTATIONS}",
        lambda context: _size(context.namespace.annotations) > MOST_NAMESPACE_ANNOTATIONS,
        concerns=lambda injection: any(
            pod_facts.source_of(parameter)[0] == "namespaceAnnotation"
            for parameter in injection.spec.get("parameters") or ()
        ),
    ),
)  # fmt: skip
"""Those for which one injection cannot be decided about: the pod is left alone for it."""
