"""Which injections apply to a pod, by everything but the parts that they would add.

The rules are two tables. They are tried in order, and the first rule that stops gives the reason.
A decision needs only that reason; `explain` shows every rule that was tried. The rules look only at
metadata, namespace, host network and operating system. Of a pod of which the last one is not known,
they say that it may be any.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Generic, TypeVar

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import author, status_annotation
from sidecar_injector.core.pods import annotation, lenient, operating_system, selectors
from sidecar_injector.core.reasons import Reason

Request = namespace_view.PodRequest
View = namespace_view.NamespaceView
Subject = TypeVar("Subject")
"""A request, or an injection."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The fields of a pod that the rules look at, as the pod's author wrote them."""

    labels: Mapping[str, str]
    annotations: Mapping[str, Any]
    host_network: bool
    operating_system: str | None
    """None if the spec is not known; see `operating_system.of`."""
    service_account: str
    """Empty where the pod does not name one."""
    inject_request: annotation.InjectRequest
    opt_out: Reason | None
    """How the pod opts out of all injections that let it; None if it does not."""


def candidate_of(pod: Mapping[str, Any], recorded: status_annotation.Provenance) -> Candidate:
    """The candidate for a pod, of which only the metadata must be known."""
    fields = author.fields_of(pod, recorded)
    metadata, spec = fields["metadata"], fields["spec"]
    pod_spec = pod.get("spec") or {}
    labels, annotations = (lenient.child(metadata, key) for key in ("labels", "annotations"))
    inject_request = annotation.read(annotations)
    return Candidate(
        labels=labels,
        annotations=annotations,
        host_network=spec.get("hostNetwork") is True,
        operating_system=operating_system.of(pod_spec) if "containers" in pod_spec else None,
        service_account=spec.get("serviceAccountName") or spec.get("serviceAccount") or "",
        inject_request=inject_request,
        opt_out=_opt_out(labels, inject_request),
    )


def _opt_out(labels: Mapping[str, Any], request: annotation.InjectRequest) -> Reason | None:
    if labels.get(names.INJECTION_LABEL) == names.DISABLED:
        return Reason.POD_LABEL_DISABLED
    is_no = request.requested is annotation.Requested.NO
    return Reason.POD_ANNOTATION_DISABLED if is_no else None


def without_opt_out(candidate: Candidate) -> Candidate:
    """The same pod if its author had neither opted out nor asked for anything."""
    return dataclasses.replace(candidate, opt_out=None, inject_request=annotation.NOTHING)


@dataclasses.dataclass(frozen=True, slots=True)
class Rule(Generic[Subject]):
    """A reason for which no injection applies to a request, or one injection not to its pod."""

    name: str
    """What the rule looks at: a field of the injection, or a part of the pod."""
    reason: Reason
    passed: str
    """For people, the opposite of the reason's sentence."""
    stops: Callable[[Subject, Candidate, View], bool]
    fact: Callable[[Subject, Candidate, View], str] = lambda subject, candidate, view: ""
    """For people, the value that the rule looked at; empty if the sentence says everything."""


def out_of_scope(request: Request, candidate: Candidate, view: View) -> Reason | None:
    """Why no injection can apply to this pod; None if one can."""
    return _first_reason(SCOPE_RULES, request, candidate, view)


def match(injection: model.Injection, candidate: Candidate, view: View) -> Reason | None:
    """Why an injection does not apply to a pod in scope; None if it does."""
    return _first_reason(MATCH_RULES, injection, candidate, view)


def opted_out(injection: model.Injection, candidate: Candidate, view: View) -> Reason | None:
    """Why an injection that would apply otherwise does not: the pod opts out of it, or of all.

    None if it applies, or would not apply either without the pod's label and annotation. The pod
    must be in scope, or out of it for one of `OPT_OUTS`.
    """
    if match(injection, candidate, view) not in OPT_OUTS:
        return None
    if match(injection, without_opt_out(candidate), view):
        return None
    return candidate.opt_out or Reason.NOT_LISTED


def is_overruled(injection: model.Injection, candidate: Candidate, view: View) -> bool:
    """Whether the pod opts out of this injection, or of all, and this injection forbids it."""
    return injection.is_mandatory and (
        candidate.opt_out is not None or _is_left_out(injection, candidate, view)
    )


def _first_reason(
    rules: tuple[Rule[Subject], ...], subject: Subject, candidate: Candidate, view: View
) -> Reason | None:
    # A plain loop is faster, and this runs for every injection in scope while a pod waits.
    for rule in rules:
        if rule.stops(subject, candidate, view):
            return rule.reason
    return None


def tried(
    rules: tuple[Rule[Subject], ...], subject: Subject, candidate: Candidate, view: View
) -> Iterator[tuple[Rule[Subject], bool]]:
    """The rules that are tried on a subject, in order, each with whether it stops."""
    for rule in rules:
        stops = rule.stops(subject, candidate, view)
        yield rule, stops
        if stops:
            return


def _is_not_a_create(request: Request, _: Candidate, __: View) -> bool:
    return request.operation != "CREATE" or bool(request.subresource)


def _is_excluded(request: Request, _: Candidate, view: View) -> bool:
    namespace = request.namespace
    return namespace in names.SYSTEM_NAMESPACES or namespace == view.release_namespace


def _opts_out(candidate: Candidate, view: View, how: Reason) -> bool:
    """Whether the pod opts out so, and no injection that applies to it forbids that."""
    return candidate.opt_out is how and not any(_holding(candidate, view))


def _holding(candidate: Candidate, view: View) -> Iterator[model.Injection]:
    """The injections that apply to the pod although it opts out."""
    for injection in view.mandatory(candidate.labels):
        if match(injection, candidate, view) is None:
            yield injection


def _is_listed(injection: model.Injection, listed: Container[str], view: View) -> bool:
    """A bare name means the injection of the namespace if there is one, else the cluster's."""
    return injection.reference in listed or (
        injection.is_cluster and injection.name in listed and not view.has(injection.name)
    )


def _is_left_out(injection: model.Injection, candidate: Candidate, view: View) -> bool:
    """Whether the pod's annotation wants only others."""
    request = candidate.inject_request
    return request.requested is annotation.Requested.ONLY and not _is_listed(
        injection, request.listed, view
    )


def _is_not_requested(injection: model.Injection, candidate: Candidate, view: View) -> bool:
    request = candidate.inject_request
    return (
        injection.spec.get("activation") == "OnRequest"
        and request.requested is not annotation.Requested.YES
        and not _is_listed(injection, request.listed, view)
    )


def _opt_out_fact(candidate: Candidate, view: View, how: Reason, fact: str) -> str:
    """With the injections for which a pod that opts out so is in scope."""
    holding = _holding(candidate, view) if candidate.opt_out is how else ()
    references = ", ".join(injection.reference for injection in holding)
    forbidden = f"optOut of {references} is Forbidden" if references else ""
    return "; ".join(filter(None, (fact, forbidden)))


def _label(labels: Mapping[str, Any], *, usual: str) -> str:
    """The value of our label, unless it is the one that the rule's sentences name."""
    if names.INJECTION_LABEL not in labels:
        return "there is no such label"
    value = labels[names.INJECTION_LABEL]
    return "" if value == usual else f"it has the value {value!r}"


def _comparison(selector: object, labels: Mapping[str, Any]) -> str:
    needed = selectors.text(selector) if selector else "nothing, as it is empty"
    return f"it needs {needed}; there are {selectors.labels_text(labels)}"


def _network(injection: model.Injection, candidate: Candidate, _: View) -> str:
    network = "uses the host network" if candidate.host_network else "has its own network"
    return f"it is {injection.spec.get('hostNetworkPods')}; the pod {network}"


def _is_of_another_system(injection: model.Injection, candidate: Candidate, _: View) -> bool:
    system = candidate.operating_system
    # An injection that is too large is kept without defaults.
    wanted = injection.spec.get("operatingSystem", operating_system.LINUX)
    return wanted not in (system, operating_system.ANY) and system is not None


def _systems(injection: model.Injection, candidate: Candidate, _: View) -> str:
    system = candidate.operating_system or "neither Linux nor Windows"
    wanted = injection.spec.get("operatingSystem")
    return f"operatingSystem is {wanted}; the pod is for {system}"


SCOPE_RULES: tuple[Rule[Request], ...] = (
    Rule(
        "operation", Reason.NOT_A_CREATE, "the pod is being created", _is_not_a_create,
    ),
    Rule(
        "namespace", Reason.NAMESPACE_EXCLUDED,
        "the namespace is not a system namespace, nor the injector's own", _is_excluded,
        fact=lambda request, candidate, view: view.namespace.name,
    ),
    Rule(
        "namespace label", Reason.NAMESPACE_NOT_ENABLED,
        "the namespace carries the label sidecar-injection=enabled",
        lambda request, candidate, view: not view.namespace.is_enabled,
        fact=lambda request, candidate, view: _label(view.namespace.labels, usual=names.ENABLED),
    ),
    Rule(
        "mirror pod", Reason.MIRROR_POD, "the pod is not a mirror of a static pod",
        lambda request, candidate, view: names.MIRROR_ANNOTATION in candidate.annotations,
    ),
    Rule(
        "own pod", Reason.OWN_POD, "the pod does not belong to the injector",
        lambda request, candidate, view: (
            candidate.labels.get(names.APP_NAME_LABEL) == names.PRODUCT
        ),
    ),
    Rule(
        "pod label", Reason.POD_LABEL_DISABLED,
        "the pod does not opt out of all injections with the label sidecar-injection=disabled",
        lambda request, candidate, view: _opts_out(candidate, view, Reason.POD_LABEL_DISABLED),
        fact=lambda request, candidate, view: _opt_out_fact(
            candidate, view, Reason.POD_LABEL_DISABLED,
            _label(candidate.labels, usual=names.DISABLED),
        ),
    ),
    Rule(
        "pod annotation", Reason.POD_ANNOTATION_DISABLED,
        "the pod's annotation does not say no to all injections",
        lambda request, candidate, view: _opts_out(candidate, view, Reason.POD_ANNOTATION_DISABLED),
        fact=lambda request, candidate, view: _opt_out_fact(
            candidate, view, Reason.POD_ANNOTATION_DISABLED, str(candidate.inject_request)
        ),
    ),
)  # fmt: skip
"""In the order in which they are tried."""

MATCH_RULES: tuple[Rule[model.Injection], ...] = (
    Rule(
        "namespaceSelector", Reason.NAMESPACE_SELECTOR_MISMATCH,
        "the namespaceSelector matches the namespace's labels",
        lambda injection, candidate, view: (
            not injection.namespace_selector(view.namespace.labels)
        ),
        fact=lambda injection, candidate, view: _comparison(
            injection.spec.get("namespaceSelector"), view.namespace.labels
        ),
    ),
    Rule(
        "selector", Reason.SELECTOR_MISMATCH, "the selector matches the pod's labels",
        lambda injection, candidate, view: not injection.selector(candidate.labels),
        fact=lambda injection, candidate, view: _comparison(
            injection.spec.get("selector"), candidate.labels
        ),
    ),
    Rule(
        "suspend", Reason.SUSPENDED, "the injection is not suspended",
        lambda injection, candidate, view: bool(injection.spec.get("suspend")),
    ),
    Rule(
        "optOut", Reason.OPTED_OUT, "the pod does not opt out, or optOut is Forbidden",
        lambda injection, candidate, view: (
            candidate.opt_out is not None and not injection.is_mandatory
        ),
        fact=lambda injection, candidate, view: (
            candidate.opt_out.sentence if candidate.opt_out else ""
        ),
    ),
    Rule(
        "pod annotation", Reason.NOT_LISTED,
        "the pod's annotation does not leave it out, or optOut is Forbidden",
        lambda injection, candidate, view: (
            not injection.is_mandatory and _is_left_out(injection, candidate, view)
        ),
        fact=lambda injection, candidate, view: str(candidate.inject_request),
    ),
    Rule(
        "activation", Reason.NOT_REQUESTED,
        "activation is Automatic, or the pod's annotation asks for it", _is_not_requested,
        fact=lambda injection, candidate, view: str(candidate.inject_request),
    ),
    Rule(
        "hostNetworkPods", Reason.HOST_NETWORK,
        "the pod is not on the host network, or hostNetworkPods is Inject",
        lambda injection, candidate, view: (
            candidate.host_network and injection.spec.get("hostNetworkPods") != "Inject"
        ),
        fact=_network,
    ),
    Rule(
        "operatingSystem", Reason.OPERATING_SYSTEM,
        "the pod is for the operating system of the template", _is_of_another_system,
        fact=_systems,
    ),
)  # fmt: skip
"""In the order in which they are tried."""

OPT_OUTS = frozenset(
    {
        Reason.POD_LABEL_DISABLED,
        Reason.POD_ANNOTATION_DISABLED,
        Reason.OPTED_OUT,
        Reason.NOT_LISTED,
    }
)
"""The reasons for which a pod has something less because its author wants it so."""
