"""Kinds of pods that a policy leaves to the webhook, most of them rare.

To decide about them, expressions would have to know more than is worth it. Each kind has its
condition twice: in CEL for the policy, and in Python for those who explain a pod.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import additions, container_additions
from sidecar_injector.core.merging.status_annotation import json_text
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import lenient, operating_system, references
from sidecar_injector.core.policies import cel, pod_facts

Json = dict[str, Any]
Expression = str | Callable[[model.Injection], str]
MOST_ANNOTATIONS: Final = 30_000
"""Characters of a pod's annotations: with a status annotation they are far from the API server's
limit, in whatever bytes."""
MOST_NAMESPACE_ANNOTATIONS: Final = 2_000
"""Characters; of larger ones the webhook keeps only some."""
MOST_REQUESTED: Final = 1_000
"""Characters of both annotations by which a pod requests something."""
_REQUESTS: Final = (names.INJECT_ANNOTATION, names.TUTORIAL_INJECT_ANNOTATION)
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
    """The condition, or a function that makes it: `false` where it does not concern."""
    holds: Callable[[Context], object]

    def condition(self, injection: model.Injection) -> str:
        """The condition in CEL for this injection."""
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


def _where(test: Callable[[model.Injection], object], condition: str) -> Expression:
    return lambda injection: condition if test(injection) else "false"


def _is_printable(text: str, longest: int) -> bool:
    plain = text.translate(dict.fromkeys(map(ord, "\t\n\r")))
    return len(text) <= longest and plain.isascii() and (plain.isprintable() or not plain)


def _printable(longest: int) -> str:
    return f"^[ -~\t\n\r]{{0,{longest}}}$"


def _size(annotations: Mapping[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in annotations.items())


def _characters(annotations: str) -> str:
    return f"{annotations}.map(k, size(k) + size({annotations}[k])).sum()"


def _is_not_surely_linux(context: Context) -> bool:
    selected = lenient.child(context.spec, "nodeSelector")
    affinity = lenient.child(lenient.child(context.spec, "affinity"), "nodeAffinity")
    terms = lenient.objects(lenient.child(affinity, _NEEDED), "nodeSelectorTerms")
    requirements = (lenient.objects(term, "matchExpressions") for term in terms)
    keys = {requirement.get("key") for several in requirements for requirement in several}
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

_REQUEST: Final = cel.text(_printable(MOST_REQUESTED).replace("-~", "-~\u00a0"))
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
        f"{cel.text(names.INJECTED_LABEL)} in variables.labels"
        f" || {cel.text(names.INJECTED_ANNOTATION)} in variables.annotations"
        f" || {cel.text(names.SKIPPED_ANNOTATION)} in variables.annotations",
        lambda context: (
            names.INJECTED_LABEL in context.labels
            or not {names.INJECTED_ANNOTATION, names.SKIPPED_ANNOTATION}.isdisjoint(
                context.annotations)
        ),
    ),
    Doubt(
        f"its annotation {names.INJECT_ANNOTATION}, or the tutorial's, is no printable ASCII",
        f"!(variables.said + variables.theirs).matches({_REQUEST})",
        lambda context: not _is_printable(
            "".join(context.annotations.get(key, "") for key in _REQUESTS).replace("\u00a0", " "),
            MOST_REQUESTED,
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


def _label_keys(injection: model.Injection) -> str:
    keys = sorted(injection.template_metadata.get("labels") or {})
    return f"variables.labelkeys.exists(k, k in {cel.strings(keys)})" if keys else "false"


def _has_label_keys(context: Context) -> bool:
    affinity = lenient.child(context.spec, "affinity")
    terms = [*lenient.objects(context.spec, "topologySpreadConstraints")]
    for kind in ("podAffinity", "podAntiAffinity"):
        for when in pod_facts.TERMS:
            terms_of_kind = lenient.objects(lenient.child(affinity, kind), when)
            terms += [term.get("podAffinityTerm", term) for term in terms_of_kind]
    keys = {
        key
        for term in terms
        for field in pod_facts.LABEL_KEYS
        for key in lenient.strings(term, field)
    }
    return not keys.isdisjoint(context.injection.template_metadata.get("labels") or {})


def _applied(injection: model.Injection) -> Mapping[str, Any]:
    return injection.spec.get("applicationContainers") or {}


def _is_ours(container: Json, images: Mapping[str, str], *, merges: bool) -> bool:
    return container["name"] in images and (
        merges or pod_facts.has_token(container["image"])
        or images[container["name"]] == container["image"]
    )  # fmt: skip


def _collisions(injection: model.Injection) -> str:
    merges = injection.spec.get("onConflict") == "Merge"
    return cel.some(
        f"{cel.text(container['name'])} in variables.names"
        if merges or pod_facts.has_token(container["image"])
        else f"{cel.text(container['name'] + ' ' + container['image'])} in variables.images"
        for container in pod_facts.containers(injection)
    )


def _collides(context: Context) -> bool:
    merges = context.injection.spec.get("onConflict") == "Merge"
    images = {container["name"]: lenient.text(container, "image") for container in context.every}
    ours = pod_facts.containers(context.injection)
    return any(_is_ours(container, images, merges=merges) for container in ours)


def _incomparable(injection: model.Injection) -> list[str]:
    volumes = injection.template_spec.get("volumes") or ()
    return [volume["name"] for volume in volumes if pod_facts.stored_volume(volume) is None]


def _has_resources(injection: model.Injection) -> bool:
    return any(container.get("resources") for container in pod_facts.containers(injection))


def _port_names(owners: Iterable[Json]) -> set[str]:
    ports = (port for container in owners for port in container.get("ports") or ())
    return {port["name"] for port in ports if port.get("name")}


def _ports_that_are_added(injection: model.Injection) -> list[str]:
    return sorted(_port_names(pod_facts.containers(injection)))


def _has_ports_on_host(injection: model.Injection) -> bool:
    is_injected = injection.spec.get("hostNetworkPods") == "Inject"
    return is_injected and any(
        container.get("ports") for container in pod_facts.containers(injection)
    )


def _ends_of_paths(injection: model.Injection) -> list[str]:
    """The last names of the mount paths: in whatever way a path is written, it has that name."""
    mounts = _applied(injection).get("volumeMounts") or ()
    paths = (container_additions.clean_path(mount["mountPath"]) for mount in mounts)
    return sorted({path.rpartition("/")[2] for path in paths})


_ODD_PATH: Final = (
    '(!m.mountPath.matches("^(/|(/[^/]+)+/?)$") || m.mountPath.matches("/[.][.]?(/|$)"))'
)


def _is_shortest(path: str) -> bool:
    is_clean = path == "/" or container_additions.clean_path(path) == path.removesuffix("/")
    return is_clean and path.startswith("/") and not path.startswith("//")


def _variables(injection: model.Injection) -> list[Json]:
    spec = _applied(injection)
    return [*(spec.get("env") or ()), *(spec.get("appendEnv") or ())]


def _needs_certainty(injection: model.Injection) -> bool:
    """Whether more depends on variables than themselves: others refer to them, or nothing else is
    added."""
    spec, variables = _applied(injection), _variables(injection)
    if spec.get("onEnvFrom") == "Override" or not variables:
        return False
    template, metadata = injection.template_spec, injection.template_metadata
    others = (template.get(field) for field in (*pod_fields.CONTAINER_LISTS, *additions.LISTS))
    has_others = any((*others, *metadata.values(), spec.get("envFrom"), spec.get("volumeMounts")))
    names_added = {variable["name"] for variable in variables}
    return bool(references.of_items(variables, "value") & names_added) or not has_others


def _doubtful_variables(injection: model.Injection) -> str:
    if not _needs_certainty(injection):
        return "false"
    spec = _applied(injection)
    doubtful = cel.some(pod_facts.uncertain(variable["name"]) for variable in _variables(injection))
    return cel.some(
        f"variables.{pod_facts.LISTS[field]}.exists(x, "
        + cel.every([pod_facts.is_selected(spec, "x.n"), doubtful]) + ")"
        for field in pod_facts.applied_lists(spec)
    )  # fmt: skip


def _has_doubtful_variables(context: Context) -> bool:
    spec = _applied(context.injection)
    receivers = (
        container
        for field in pod_facts.applied_lists(spec)
        for container in pod_fields.items(context.pod, field)
        if container_additions.is_selected(container["name"], spec.get("names") or {})
    )
    return any(
        variable["name"].startswith(lenient.text(source, "prefix"))
        for container in receivers
        for variable in _variables(context.injection)
        if variable["name"] not in {own["name"] for own in container.get("env") or ()}
        for source in container.get("envFrom") or ()
    )


def _parameters(injection: model.Injection) -> list[Json]:
    return injection.spec.get("parameters") or []


def _is_free(parameter: Json) -> bool:
    """Whether its values are not known before; an integer is compared as a whole."""
    return not parameter.get("enum") and parameter.get("type") != "Integer"


def _longest(parameter: Json, injection: model.Injection) -> int:
    """The most characters of a value with any text: a pattern limits the bytes of a value, and the
    API server trims more from a quantity than we do. What is recorded must be ASCII."""
    if parameter.get("type") == "Quantity":
        return 0
    token = f"$(params.{parameter['name']})"
    if token in json_text(injection.template_metadata):
        return 0
    return pod_facts.LONGEST_VALUE // (4 if parameter.get("pattern") else 1)


def _accepted(parameter: Json, injection: model.Injection) -> str:
    longest = _longest(parameter, injection)
    return cel.text(f"{_printable(pod_facts.LONGEST_VALUE)}|(?s:^.{{0,{longest}}}$)")


def _is_accepted(value: str, parameter: Json, injection: model.Injection) -> bool:
    is_short = len(value) <= _longest(parameter, injection)
    return is_short or _is_printable(value, pod_facts.LONGEST_VALUE)


def _value(parameter: Json, context: Context) -> str:
    source, key = pod_facts.source_of(parameter)
    namespace = context.namespace
    sources = {
        "podAnnotation": context.annotations, "podLabel": context.labels,
        "namespaceAnnotation": namespace.annotations, "namespaceLabel": namespace.labels,
    }  # fmt: skip
    return sources[source].get(key, "")


def _reads_namespace_annotation(injection: model.Injection) -> bool:
    sources = (pod_facts.source_of(parameter)[0] for parameter in _parameters(injection))
    return "namespaceAnnotation" in sources


_ENFORCED: Final = f'variables.nslabels[?"{names.POD_SECURITY_VERSION_LABEL}"].orValue("")'
_WINDOWS: Final = "?securityContext.?windowsOptions.hasValue()"
OF_INJECTIONS: Final = (
    Doubt(
        "it has resources of its own, besides those of its containers",
        _where(_has_resources, "object.spec.?resources.hasValue()"),
        lambda context: "resources" in context.spec,
    ),
    Doubt(
        "it has options for Windows",
        _where(
            pod_facts.containers,
            f"object.spec.{_WINDOWS} || variables.every.exists(c, c.{_WINDOWS})",
        ),
        lambda context: any(
            "windowsOptions" in lenient.child(owner, "securityContext")
            for owner in (context.spec, *context.every)
        ),
    ),
    Doubt(
        "annotations give its containers AppArmor or seccomp profiles",
        _where(
            pod_facts.containers, "variables.annotations.exists(k, "
            + " || ".join(f"k.startsWith({cel.text(prefix)})" for prefix in _PROFILES) + ")",
        ),
        lambda context: any(key.startswith(_PROFILES) for key in context.annotations),
    ),
    Doubt(
        "its namespace pins a version of Pod Security",
        _where(lambda injection: injection.template_spec, f'!({_ENFORCED} in ["", "latest"])'),
        lambda context: context.namespace.labels.get(names.POD_SECURITY_VERSION_LABEL, "")
        not in ("", "latest"),
    ),
    Doubt(
        "its topology or affinity has matchLabelKeys with a label that is added", _label_keys,
        _has_label_keys,
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
        _where(
            lambda injection: injection.spec.get("sidecarMode", "Auto") == "Auto",
            "object.spec.containers.exists(c, c.?restartPolicy.hasValue()"
            " || c.?restartPolicyRules.hasValue())",
        ),
        lambda context: any(
            container.get("restartPolicy") or container.get("restartPolicyRules")
            for container in pod_fields.items(context.pod, "containers")
        ),
    ),
    Doubt(
        "it is on the host network, and the containers that are added have ports",
        _where(_has_ports_on_host, "variables.hostnet"),
        lambda context: context.spec.get("hostNetwork") is True,
    ),
    Doubt(
        "a port of it has the name of a port that is added",
        lambda injection: cel.some(
            f"{cel.text(port)} in variables.portnames" for port in _ports_that_are_added(injection)
        ),
        lambda context: _port_names(context.every).intersection(
            _ports_that_are_added(context.injection)),
    ),
    Doubt("it has a container that may be the one of the template", _collisions, _collides),
    Doubt(
        "it has a volume of that name, of a kind that only the webhook compares",
        lambda injection: cel.some(
            f"{cel.text(name)} in variables.volumes" for name in _incomparable(injection)
        ),
        lambda context: any(
            volume["name"] in _incomparable(context.injection)
            for volume in pod_fields.items(context.pod, "volumes")
        ),
    ),
    Doubt(
        "a variable may come from envFrom of a container", _doubtful_variables,
        _has_doubtful_variables,
    ),
    Doubt(
        "a value that is filled in is long, or no printable ASCII where it must be",
        lambda injection: cel.some(
            f'!{pod_facts.lookup(parameter)}.orValue("").matches({_accepted(parameter, injection)})'
            for parameter in _parameters(injection)
            if _is_free(parameter)
        ),
        lambda context: not all(
            _is_accepted(_value(parameter, context), parameter, context.injection)
            for parameter in _parameters(context.injection)
            if _is_free(parameter)
        ),
    ),
    Doubt(
        f"the annotations of its namespace have more than {MOST_NAMESPACE_ANNOTATIONS} characters",
        _where(
            _reads_namespace_annotation,
            f"{_characters('namespaceObject.metadata.?annotations.orValue({})')}"
            f" > {MOST_NAMESPACE_ANNOTATIONS}",
        ),
        lambda context: _size(context.namespace.annotations) > MOST_NAMESPACE_ANNOTATIONS,
    ),
)  # fmt: skip
"""Those for which one injection cannot be decided about: the pod is left alone for it."""
