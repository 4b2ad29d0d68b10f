"""The configuration of the tutorial's webhook: containers and volumes that a pod asks for.

https://github.com/morvencao/kube-mutating-webhook-tutorial
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar_injector import names
from sidecar_injector.convert import findings, fitting, injection, sources

KEY = "sidecarconfig.yaml"
FIELDS = ("containers", "volumes")
"""All fields that it reads."""


def convert(
    documents: Iterable[sources.SourceObject], *, parse: sources.Parse, target: findings.Target
) -> findings.Conversion:
    """An injection for each configuration among the documents, named after its ConfigMap."""
    conversion = findings.Conversion(target)
    for document in documents:
        for source in _configurations(list(sources.texts(document, parse=parse)), conversion):
            location = findings.Location(conversion, source.place)
            if source.problem or not isinstance(source.value, dict):
                location.warn(f"is left out: {source.problem or 'it is no configuration'}")
            else:
                _add(source, location)
    return conversion


def _configurations(
    embedded: list[sources.SourceObject], conversion: findings.Conversion
) -> Iterator[sources.SourceObject]:
    """The webhook reads one key of its ConfigMap; warns about the others."""
    with_key = {source.config_map for source in embedded if source.key == KEY}
    for source in embedded:
        if source.key == KEY or source.config_map not in with_key:
            yield source
        else:
            findings.Location(conversion, source.place).warn(f"is left out: only {KEY} is read")


def _add(source: sources.SourceObject, location: findings.Location) -> None:
    value = fitting.with_known_case(source.value, FIELDS, location)
    for field in value:
        if field not in FIELDS:
            location.member(field).warn("is left out: the tutorial's webhook does not read it")
    name = injection.free_name(source.config_map or injection.FALLBACK_NAME, location)
    location.note(
        f"pods go on asking with the annotation {names.TUTORIAL_INJECT_ANNOTATION}, or with"
        f' {names.INJECT_ANNOTATION}: "{name}"'
    )
    spec = {
        "activation": "OnRequest",
        "hostNetworkPods": "Inject",
        "template": {"spec": injection.pod_parts(FIELDS, value, location)},
    }
    injection.add(name, spec, location)
