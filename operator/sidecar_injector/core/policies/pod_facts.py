"""What a policy looks at in a pod, and the doubts: pods that it leaves to the webhook.

A doubt is a kind of pod, mostly a rare one, of which an expression would have to know more than is
worth it. Each has its condition twice: in CEL for the policy, in Python for `explain`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import additions, container_additions, defaults
from sidecar_injector.core.merging.status_annotation import json_text
from sidecar_injector.core.pods import annotation, api_fields, lenient, operating_system, references
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.policies import cel

Json = dict[str, Any]
MOST_ANNOTATIONS: Final = 30_000
"""Characters of a pod's annotations: with a status annotation they are far from the API server's
limit, in whatever bytes."""
MOST_NAMESPACE_ANNOTATIONS: Final = 2_000
"""Characters; of larger ones the webhook keeps only some."""
LONGEST_VALUE: Final = 256
"""Characters of a parameter's value."""
MOST_CONTAINERS: Final = 20
EVERY: Final = "(object.spec.containers + object.spec.?initContainers.orValue([]))"
LISTS: Final[Mapping[str, str]] = {"containers": "cfacts", "initContainers": "ifacts"}
"""The variables with the facts of each container of a list."""
_WINDOWS: Final = "?securityContext.?windowsOptions.hasValue()"
_PROFILES: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)
"""Annotations with a profile of a container, which fields of the container must repeat."""
_PLAIN_PATH: Final = "^(/|(/[^/]+)+/?)$"


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What a doubt may be about: one injection, and one pod in its namespace."""

    injection: model.Injection
    pod: Mapping[str, Any]
    namespace: namespace_view.Namespace

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec of the pod."""
        return lenient.child(self.pod, "spec")

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of the pod."""
        return pod_fields.metadata_map(self.pod, "annotations")


@dataclasses.dataclass(frozen=True, slots=True)
class Doubt:
    """A kind of pod that is left to the webhook."""

    sentence: str
    """About the pod, for people."""
    cel: str | Callable[[model.Injection], str]
    """The condition, or a function that makes it: `false` where it does not concern."""
    holds: Callable[[Context], bool]

    def condition(self, injection: model.Injection) -> str:
        """The condition in CEL for this injection."""
        return self.cel if isinstance(self.cel, str) else self.cel(injection)


def doubts(
    injection: model.Injection, pod: Mapping[str, Any], namespace: namespace_view.Namespace
) -> Iterator[str]:
    """Why a policy leaves a pod, as the API server has it, to the webhook; one sentence each."""
    context = Context(injection, pod, namespace)
    for doubt in (*OF_PODS, *OF_INJECTIONS):
        if doubt.condition(injection) != "false" and doubt.holds(context):
            yield doubt.sentence


def define(variables: cel.Variables) -> None:
    """The variables that all injections share; the API server computes only those that are used."""
    for name, expression in _FACTS.items():
        variables.let(name, expression)
    variables.let("strange", cel.some(str(doubt.cel) for doubt in OF_PODS))


def containers(injection: model.Injection) -> list[Json]:
    """The containers of the template, init containers first."""
    spec = injection.template_spec
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def has_token(value: Any) -> bool:
    """Whether a value may depend on the pod."""
    return any(hint in json_text(value) for hint in ("$(params.", "$(pod."))


def stored_volume(volume: Json) -> Json | None:
    """The volume as a pod has it after the API server's defaults; None where that is not sure."""
    kinds = [key for key, value in volume.items() if key != "name" and value is not None]
    if kinds in ([], ["emptyDir"]):
        source = volume.get("emptyDir") or {}
        known = {} if not source.get("medium") else {"medium": source["medium"]}
        is_plain = not {key for key, value in source.items() if value is not None} - {"medium"}
        return {"name": volume["name"], "emptyDir": known} if is_plain else None
    if kinds in (["configMap"], ["secret"]):
        stored: Json = defaults.without_absent(volume, api_fields.VOLUME)
        (kind,) = kinds
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


_NAMED: Final = cel.text(f"^(?:{annotation.NAME.pattern})$")
_FACTS: Final[Mapping[str, str]] = {
    "labels": "object.metadata.?labels.orValue({})",
    "annotations": "object.metadata.?annotations.orValue({})",
    "nslabels": "namespaceObject.metadata.?labels.orValue({})",
    # What the author asks for, as `pods.annotation` reads it.
    "said": f'object.metadata.?annotations[?{cel.text(names.INJECT_ANNOTATION)}].orValue("")',
    "word": "variables.said.trim().lowerAscii()",
    "only": 'variables.said.matches("^ *[oO][nN][lL][yY] *:")',
    "items": (
        '(variables.only ? variables.said.substring(variables.said.indexOf(":") + 1)'
        ' : variables.said).split(",").map(x, x.trim()).filter(x, x != "")'
    ),
    "readable": (
        "size(variables.items) > 0 && variables.items.all(x,"
        f" !(x.lowerAscii() in {_words(annotation.YES | annotation.NO)}) && x.matches({_NAMED}))"
    ),
    "wish": (
        f'variables.word in {_words(annotation.YES)} ? "yes"'
        f' : variables.word in {_words(annotation.NO)} ? "no"'
        ' : variables.readable ? (variables.only ? "only" : "list") : "none"'
    ),
    "listed": 'variables.wish in ["list", "only"] ? variables.items : []',
    "hostnet": "object.spec.?hostNetwork.orValue(false)",
    "ends": 'object.spec.?restartPolicy.orValue("Always") != "Always"',
    "account": 'object.spec.?serviceAccountName.orValue("default")',
    "every": EVERY,
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
    # The level of Pod Security, and three facts that decide what it forbids.
    "level": (
        f'variables.nslabels[?{cel.text(names.POD_SECURITY_ENFORCE_LABEL)}].orValue("privileged")'
    ),
    "secure": (
        '(variables.level in ["privileged", "baseline"] ? variables.level : "restricted")'
        ' + (object.spec.?securityContext.?runAsNonRoot.orValue(false) ? " 1" : " 0")'
        ' + (object.spec.?securityContext.?seccompProfile.?type.orValue("")'
        ' in ["RuntimeDefault", "Localhost"] ? "1" : "0")'
        ' + (object.spec.?hostUsers.orValue(true) ? "1" : "0")'
    ),
}


def _with_containers(expression: str) -> Callable[[model.Injection], str]:
    return lambda injection: expression if containers(injection) else "false"


def _is_not_surely_linux(context: Context) -> bool:
    spec = context.spec
    selected = lenient.child(spec, "nodeSelector")
    affinity = lenient.child(lenient.child(spec, "affinity"), "nodeAffinity")
    required = lenient.child(affinity, _NEEDED)
    return (
        lenient.text(lenient.child(spec, "os"), "name") not in ("", "linux")
        or any(selected.get(label, "linux") != "linux" for label in operating_system.LABELS)
        or any(
            not (term.get("matchExpressions") or term.get("matchFields"))
            or any(
                one.get("key") in operating_system.LABELS
                for one in lenient.objects(term, "matchExpressions")
            )
            for term in lenient.objects(required, "nodeSelectorTerms")
        )
    )


_LABELS: Final = cel.strings(operating_system.LABELS)
_NEEDED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_SIZE_OF_TERM: Final = "size(t.?matchExpressions.orValue([])) + size(t.?matchFields.orValue([]))"
_NOT_SURELY_LINUX: Final = cel.some(
    [
        '!(object.spec.?os.?name.orValue("linux") in ["", "linux"])',
        f'{_LABELS}.exists(k, object.spec.?nodeSelector[?k].orValue("linux") != "linux")',
        (
            f"object.spec.?affinity.?nodeAffinity.?{_NEEDED}.?nodeSelectorTerms.orValue([]).exists(t,"
            f" {_SIZE_OF_TERM} == 0"
            f" || t.?matchExpressions.orValue([]).exists(e, e.key in {_LABELS}))"
        ),
    ]
)


def _size(pod_annotations: Mapping[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in pod_annotations.items())


def _characters(annotations: str) -> str:
    return f"{annotations}.map(k, size(k) + size({annotations}[k])).sum()"


OF_PODS: Final = (
    Doubt(
        "it carries a status annotation",
        f"{cel.text(names.STATUS_ANNOTATION)} in variables.annotations",
        lambda context: names.STATUS_ANNOTATION in context.annotations,
    ),
    Doubt(
        f"it has the label {names.INJECTION_LABEL}={names.DISABLED}",
        f'variables.labels[?{cel.text(names.INJECTION_LABEL)}].orValue("")'
        f" == {cel.text(names.DISABLED)}",
        lambda context: (
            pod_fields.metadata_map(context.pod, "labels").get(names.INJECTION_LABEL)
            == names.DISABLED
        ),
    ),
    Doubt(
        "it carries a mark of the injector, which somebody else has set",

            cel.some(
                [
                    f"{cel.text(names.INJECTED_LABEL)} in variables.labels",
                    *(
                        f"{cel.text(key)} in variables.annotations"
                        for key in (names.INJECTED_ANNOTATION, names.SKIPPED_ANNOTATION)
                    ),
                ]
            )
        ,
        lambda context: (
            names.INJECTED_LABEL in pod_fields.metadata_map(context.pod, "labels")
            or names.INJECTED_ANNOTATION in context.annotations
            or names.SKIPPED_ANNOTATION in context.annotations
        ),
    ),
    Doubt(
        "it has the tutorial's annotation",
        f"{cel.text(names.TUTORIAL_INJECT_ANNOTATION)} in variables.annotations",
        lambda context: names.TUTORIAL_INJECT_ANNOTATION in context.annotations,
    ),
    Doubt(
        f"its annotation {names.INJECT_ANNOTATION} is no printable ASCII, or long",
        '!variables.said.matches("^[ -~]{0,1000}$")',
        lambda context: not _is_printable(
            context.annotations.get(names.INJECT_ANNOTATION, ""), 1000
        ),
    ),
    Doubt(
        f"its annotations have more than {MOST_ANNOTATIONS} characters",
        f"{_characters('variables.annotations')} > {MOST_ANNOTATIONS}",
        lambda context: _size(context.annotations) > MOST_ANNOTATIONS,
    ),
    Doubt(
        "it is not surely for Linux", _NOT_SURELY_LINUX, _is_not_surely_linux,
    ),
    Doubt(
        f"it has more than {MOST_CONTAINERS} containers",
        f"size(variables.every) > {MOST_CONTAINERS}",
        lambda context: len(pod_fields.containers(context.pod)) > MOST_CONTAINERS,
    ),
)  # fmt: skip
"""Those for which a pod is left alone as a whole, whatever the injections are."""


def _is_printable(text: str, longest: int) -> bool:
    return len(text) <= longest and text.isascii() and (text.isprintable() or not text)


def lookup(parameter: Mapping[str, Any]) -> str:
    """An expression for the optional value of a parameter."""
    source, key = next((kind, name) for kind, name in parameter["from"].items() if name)
    owner = "object" if source.startswith("pod") else "namespaceObject"
    field = "annotations" if source.endswith("Annotation") else "labels"
    return f"{owner}.metadata.?{field}[?{cel.text(key)}]"


def _value(parameter: Mapping[str, Any], context: Context) -> str:
    source, key = next((kind, name) for kind, name in parameter["from"].items() if name)
    namespace = context.namespace
    return {
        "podAnnotation": context.annotations,
        "podLabel": pod_fields.metadata_map(context.pod, "labels"),
        "namespaceAnnotation": namespace.annotations,
        "namespaceLabel": namespace.labels,
    }[source].get(key, "")


def _parameters(injection: model.Injection) -> list[Mapping[str, Any]]:
    return injection.spec.get("parameters") or []


def _reads_namespace_annotation(injection: model.Injection) -> bool:
    return any(one["from"].get("namespaceAnnotation") for one in _parameters(injection))


def _collisions(injection: model.Injection) -> str:
    merges = injection.spec.get("onConflict") == "Merge"
    return cel.some(
        f"{cel.text(one['name'])} in variables.names"
        if merges or has_token(one["image"])
        else f"{cel.text(one['name'] + ' ' + one['image'])} in variables.images"
        for one in containers(injection)
    )


def _collides(context: Context) -> bool:
    merges = context.injection.spec.get("onConflict") == "Merge"
    present = {one["name"]: one.get("image") for one in pod_fields.containers(context.pod)}
    return any(
        one["name"] in present
        and (merges or has_token(one["image"]) or present[one["name"]] == one["image"])
        for one in containers(context.injection)
    )


def _incomparable(injection: model.Injection) -> list[str]:
    volumes = injection.template_spec.get("volumes") or ()
    return [one["name"] for one in volumes if stored_volume(one) is None]


def _port_names(injection: model.Injection) -> list[str]:
    ports = (port for one in containers(injection) for port in one.get("ports") or ())
    return sorted({port["name"] for port in ports if port.get("name")})


def _has_ports_on_host(injection: model.Injection) -> bool:
    inject = injection.spec.get("hostNetworkPods") == "Inject"
    return inject and any(one.get("ports") for one in containers(injection))


def _applied(injection: model.Injection) -> Mapping[str, Any]:
    return injection.spec.get("applicationContainers") or {}


def is_selected(spec: Mapping[str, Any], name: str) -> str:
    """Whether applicationContainers means the container of this name."""
    globs = spec.get("names") or {}
    include = globs.get("include")
    left_out = cel.matches(name, globs.get("exclude") or ())
    is_left_in = {"false": "true", "true": "false"}.get(left_out, f"!{left_out}")
    return cel.every([cel.matches(name, ["*"] if include is None else include), is_left_in])


def applied_lists(spec: Mapping[str, Any]) -> list[str]:
    """The lists of containers that receive something."""
    return ["containers", *(["initContainers"] if spec.get("initContainers") == "Include" else [])]


def uncertain(name: str) -> str:
    """Whether a source of the container `x` may set a variable that the container does not."""
    key = cel.text(name)
    return f"(!({key} in x.e) && x.u.exists(p, {key}.startsWith(p)))"


def _needs_certainty(injection: model.Injection) -> bool:
    """Whether it matters more than for the variable itself that one may come from `envFrom`.

    Either others refer to it, or the injection may add nothing else.
    """
    spec = _applied(injection)
    variables = [*(spec.get("env") or ()), *(spec.get("appendEnv") or ())]
    if spec.get("onEnvFrom") == "Override" or not variables:
        return False
    added = {one["name"] for one in variables}
    refers = bool(references.of_items(variables, "value") & added)
    template, metadata = injection.template_spec, injection.template_metadata
    others = (template.get(field) for field in (*pod_fields.CONTAINER_LISTS, *additions.LISTS))
    has_others = any((*others, *metadata.values(), spec.get("envFrom"), spec.get("volumeMounts")))
    return refers or not has_others


def _doubtful_variables(injection: model.Injection) -> str:
    if not _needs_certainty(injection):
        return "false"
    spec = _applied(injection)
    added = [*(spec.get("env") or ()), *(spec.get("appendEnv") or ())]
    one = cel.some(uncertain(variable["name"]) for variable in added)
    return cel.some(
        f"variables.{LISTS[field]}.exists(x, {cel.every([is_selected(spec, 'x.n'), one])})"
        for field in applied_lists(spec)
    )


def _has_doubtful_variables(context: Context) -> bool:
    spec = _applied(context.injection)
    added = [*(spec.get("env") or ()), *(spec.get("appendEnv") or ())]
    return any(
        container_additions.is_selected(one["name"], spec.get("names") or {})
        and any(
            variable["name"].startswith(lenient.text(source, "prefix"))
            for source in lenient.objects(one, "envFrom")
            for variable in added
            if variable["name"] not in {own["name"] for own in lenient.objects(one, "env")}
        )
        for field in applied_lists(spec)
        for one in pod_fields.items(context.pod, field)
    )


def _has_odd_paths(context: Context) -> bool:
    paths = (
        lenient.text(mount, "mountPath")
        for one in pod_fields.containers(context.pod)
        for mount in lenient.objects(one, "volumeMounts")
    )
    return any(path != "/" and (container_additions.clean_path(path) != path.removesuffix("/")
                                or path.startswith("//") or not path.startswith("/"))
               for path in paths)  # fmt: skip


def _label_keys(owner: str) -> str:
    keys = (f"size({owner}.?{key}.orValue([]))" for key in ("matchLabelKeys", "mismatchLabelKeys"))
    return f"{' + '.join(keys)} > 0"


_LABEL_KEYS: Final = cel.some(
    [
        ("object.spec.?topologySpreadConstraints.orValue([])"
        ".exists(t, size(t.?matchLabelKeys.orValue([])) > 0)"),
        *(
            f"object.spec.?affinity.?{kind}.?{when}.orValue([]).exists(t, {_label_keys(owner)})"
            for kind in ("podAffinity", "podAntiAffinity")
            for when, owner in (
                (_NEEDED, "t"), (_NEEDED.replace("required", "preferred"), "t.podAffinityTerm")
            )
        ),
    ]
)  # fmt: skip

OF_INJECTIONS: Final = (
    Doubt(
        "it has resources of its own, besides those of its containers",
        _with_containers("object.spec.?resources.hasValue()"),
        lambda context: "resources" in context.spec,
    ),
    Doubt(
        "it has options for Windows",
        _with_containers(
            f"(object.spec.{_WINDOWS} || variables.every.exists(c, c.{_WINDOWS}))"
        ),
        lambda context: any(
            "windowsOptions" in lenient.child(one, "securityContext")
            for one in (context.spec, *pod_fields.containers(context.pod))
        ),
    ),
    Doubt(
        "annotations give its containers AppArmor or seccomp profiles",
        _with_containers(
            "variables.annotations.exists(k, "
            + " || ".join(f"k.startsWith({cel.text(one)})" for one in _PROFILES) + ")"
        ),
        lambda context: any(key.startswith(_PROFILES) for key in context.annotations),
    ),
    Doubt(
        "its namespace pins a version of Pod Security",
        lambda injection: (
            f'!(variables.nslabels[?{cel.text(names.POD_SECURITY_VERSION_LABEL)}].orValue("latest")'
            ' in ["", "latest"])'
            if injection.template_spec else "false"
        ),
        lambda context: (
            context.namespace.labels.get(names.POD_SECURITY_VERSION_LABEL, "")
            not in ("", "latest")
        ),
    ),
    Doubt(
        "its topology or affinity has matchLabelKeys, and labels are added",
        lambda injection: (
            _LABEL_KEYS if injection.template_metadata.get("labels") else "false"
        ),
        lambda context: "LabelKeys" in json_text(context.spec),
    ),
    Doubt(
        "a mount path in it is not written in the shortest way",
        lambda injection: (
            "variables.every.exists(c, c.?volumeMounts.orValue([]).exists(m,"
            f" !m.mountPath.matches({cel.text(_PLAIN_PATH)})"
            f' || m.mountPath.matches("/[.][.]?(/|$)")))'
            if _applied(injection).get("volumeMounts") else "false"
        ),
        _has_odd_paths,
    ),
    Doubt(
        "a container of its own has a restart policy",
        lambda injection: (
            "object.spec.containers.exists(c, c.?restartPolicy.hasValue()"
            " || c.?restartPolicyRules.hasValue())"
            if injection.spec.get("sidecarMode", "Auto") == "Auto" else "false"
        ),
        lambda context: any(
            one.get("restartPolicy") or one.get("restartPolicyRules")
            for one in pod_fields.items(context.pod, "containers")
        ),
    ),
    Doubt(
        "it is on the host network, and the containers that are added have ports",
        lambda injection: "variables.hostnet" if _has_ports_on_host(injection) else "false",
        lambda context: context.spec.get("hostNetwork") is True,
    ),
    Doubt(
        "a port of it has the name of a port that is added",
        lambda injection: (
            f"variables.portnames.exists(n, n in {cel.strings(ports)})"
            if (ports := _port_names(injection)) else "false"
        ),
        lambda context: any(
            port.get("name") in _port_names(context.injection)
            for one in pod_fields.containers(context.pod)
            for port in lenient.objects(one, "ports")
        ),
    ),
    Doubt(
        "it has a container that may be the one of the template", _collisions, _collides,
    ),
    Doubt(
        "it has a volume of that name, of a kind that only the webhook compares",
        lambda injection: cel.some(
            f"{cel.text(name)} in variables.volumes" for name in _incomparable(injection)
        ),
        lambda context: any(
            one["name"] in _incomparable(context.injection)
            for one in pod_fields.items(context.pod, "volumes")
        ),
    ),
    Doubt(
        "a variable may come from envFrom of a container", _doubtful_variables,
        _has_doubtful_variables,
    ),
    Doubt(
        f"a value that is filled in is no printable ASCII, or has more than {LONGEST_VALUE}"
        " characters",
        lambda injection: cel.some(
            f'!{lookup(one)}.orValue("").matches("^[ -~]{{0,{LONGEST_VALUE}}}$")'
            for one in _parameters(injection)
        ),
        lambda context: not all(
            _is_printable(_value(one, context), LONGEST_VALUE)
            for one in _parameters(context.injection)
        ),
    ),
    Doubt(
        f"the annotations of its namespace have more than {MOST_NAMESPACE_ANNOTATIONS} characters",
        lambda injection: (
            f"{_characters('namespaceObject.metadata.?annotations.orValue({})')}"
            f" > {MOST_NAMESPACE_ANNOTATIONS}"
            if _reads_namespace_annotation(injection) else "false"
        ),
        lambda context: _size(context.namespace.annotations) > MOST_NAMESPACE_ANNOTATIONS,
    ),
)  # fmt: skip
"""Those for which one injection cannot be decided about, and so the pod is left alone as well."""
