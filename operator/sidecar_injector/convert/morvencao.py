"""The configuration of the tutorial's webhook: containers and volumes that a pod asks for.

https://github.com/morvencao/kube-mutating-webhook-tutorial
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar_injector import names
from sidecar_injector.convert import findings, fitting, injection, naming, sources

KEY = "sidecarconfig.yaml"
FIELDS = ("containers", "volumes")
"""All that it reads."""


def convert(
    documents: Iterable[sources.SourceObject], *, parse: sources.Parse, target: injection.Target
) -> findings.Conversion:
    """An injection for each configuration among the documents, named after its ConfigMap."""
    conversion = findings.Conversion()
    given = naming.Names()
    for document in documents:
        for source in _configurations(list(sources.texts(document, parse=parse)), conversion):
            spot = findings.Location(conversion, source.place)
            if source.problem or not isinstance(source.value, dict):
                spot.warn(f"is left out: {source.problem or 'it is no configuration'}")
                continue
            _add(source, given=given, target=target, spot=spot)
    return conversion


def _configurations(
    found: list[sources.SourceObject], conversion: findings.Conversion
) -> Iterator[sources.SourceObject]:
    """The webhook is given one file of its ConfigMap; whatever else is in there is not read."""
    usual = {source.holder for source in found if source.key == KEY}
    for source in found:
        if source.key == KEY or source.holder not in usual:
            yield source
        else:
            findings.Location(conversion, source.place).warn(f"is left out: only {KEY} is read")


def _add(
    source: sources.SourceObject,
    *,
    given: naming.Names,
    target: injection.Target,
    spot: findings.Location,
) -> None:
    value = fitting.spelt(source.value, FIELDS, spot)
    for field in value:
        if field not in FIELDS:
            spot.member(field).warn("is left out: the tutorial's webhook does not read it")
    name = given.given(source.holder or naming.FALLBACK, spot)
    spot.note(
        f"pods go on asking with the annotation {names.TUTORIAL_INJECT_ANNOTATION}, or with"
        f' {names.INJECT_ANNOTATION}: "{name}"'
    )
    spec = {
        "activation": "OnRequest",
        "hostNetworkPods": "Inject",
        "template": {"spec": injection.pod_parts(target, FIELDS, value, spot)},
    }
    spot.conversion.injections.append(target.resource(name, spec, spot))
