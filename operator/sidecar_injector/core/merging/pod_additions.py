"""The fields of a pod's spec that a template may set besides containers and volumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import additions
from sidecar_injector.core.merging.status_annotation import ItemKey, Record
from sidecar_injector.core.pods import fields as pod_fields

Pod = Mapping[str, Any]

SCALARS = ("serviceAccountName", "shareProcessNamespace", "hostNetwork", "hostPID")
LISTS: Mapping[str, tuple[str, ...]] = {
    "imagePullSecrets": ("name",),
    "tolerations": (),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Each with the keys that identify its items; none where an item is one value."""
DNS_LIMITS = {"nameservers": 3, "searches": 32}
"""https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go"""


def of_pod(spec: Mapping[str, Any]) -> Iterator[additions.Addition]:
    """The additions that the pod-level fields of a template's spec mean."""
    for field in SCALARS:
        if spec.get(field) not in additions.UNSET.get(field, (None,)):
            yield additions.Scalar(field, spec[field])
    for field, keys in LISTS.items():
        if values := spec.get(field):
            yield additions.ListItems((field,), keys, values=tuple(values))
    if aliases := spec.get("hostAliases"):
        yield HostAliases(values=tuple(aliases))
    dns = spec.get("dnsConfig") or {}
    for field, limit in DNS_LIMITS.items():
        if values := dns.get(field):
            yield additions.ListItems(("dnsConfig", field), limit=limit, values=tuple(values))
    if options := dns.get("options"):
        yield additions.ListItems(("dnsConfig", "options"), ("name",), values=tuple(options))


@dataclasses.dataclass(frozen=True, slots=True)
class HostAliases(additions.Items):
    """Host names for addresses; those of the pod's own alias of an address are united with them."""

    @property
    def paths(self) -> Sequence[str]:
        return ["/spec/hostAliases"] * len(self.values)

    def missing(self, pod: Pod) -> HostAliases | None:
        present = _hostnames(pod)
        return self.narrowed(alias for alias in self.values if _lacking(alias, present))

    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        present = _hostnames(editor.document)
        aliases = pod_fields.items(editor.document, "hostAliases")
        indices = {alias.get("ip"): index for index, alias in reversed([*enumerate(aliases)])}
        count = len(aliases)
        records: list[Record] = []
        for alias in self.values:
            ip = alias["ip"]
            if not (hostnames := _lacking(alias, present)):
                continue
            value = {"ip": ip, "hostnames": hostnames}
            if ip in indices:
                for hostname in hostnames:
                    editor.append(("spec", "hostAliases", indices[ip], "hostnames"), hostname)
            else:
                editor.append(("spec", "hostAliases"), value)
                indices[ip], count = count, count + 1
            present.setdefault(ip, set()).update(hostnames)
            records.append({"op": "add", "path": "/spec/hostAliases", "value": value})
        return records


def _hostnames(pod: Pod) -> dict[Any, set[str]]:
    """The host names that the pod has for each address."""
    hostnames: dict[Any, set[str]] = {}
    for alias in pod_fields.items(pod, "hostAliases"):
        hostnames.setdefault(alias.get("ip"), set()).update(alias.get("hostnames") or ())
    return hostnames


def _lacking(alias: Mapping[str, Any], present: Mapping[Any, set[str]]) -> list[str]:
    """The host names of an alias that the pod does not have."""
    names = present.get(alias["ip"], ())
    return [name for name in alias.get("hostnames") or () if name not in names]
