"""The fields of a pod's spec that a template may set besides containers and volumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import additions
from sidecar_injector.core.merging.status_annotation import Entry
from sidecar_injector.core.pods import fields as pod_fields

Pod = Mapping[str, Any]

DNS_LIMITS = {"nameservers": 3, "searches": 32}
"""https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go"""


def of_pod(spec: Mapping[str, Any]) -> Iterator[additions.Addition]:
    """The additions that the pod-level fields of a template's spec mean."""
    for field in ("serviceAccountName", "shareProcessNamespace", "hostNetwork", "hostPID"):
        if spec.get(field) not in additions.UNSET.get(field, (None,)):
            yield additions.Scalar(field, spec[field])
    for secret in spec.get("imagePullSecrets") or ():
        yield additions.ListItem(("imagePullSecrets",), secret, keys=("name",))
    for toleration in spec.get("tolerations") or ():
        yield additions.ListItem(("tolerations",), toleration)
    for constraint in spec.get("topologySpreadConstraints") or ():
        keys = ("topologyKey", "whenUnsatisfiable")
        yield additions.ListItem(("topologySpreadConstraints",), constraint, keys=keys)
    for alias in spec.get("hostAliases") or ():
        yield HostAlias(alias["ip"], tuple(alias.get("hostnames") or ()))
    dns = spec.get("dnsConfig") or {}
    for field, limit in DNS_LIMITS.items():
        for value in dns.get(field) or ():
            yield additions.ListItem(("dnsConfig", field), value, limit=limit)
    for option in dns.get("options") or ():
        yield additions.ListItem(("dnsConfig", "options"), option, keys=("name",))


@dataclasses.dataclass(frozen=True, slots=True)
class HostAlias(additions.Quiet):
    """Host names for an address; those of the pod's own alias of that address are united."""

    ip: str
    hostnames: tuple[str, ...]

    @property
    def path(self) -> str:
        return "/spec/hostAliases"

    def is_lacking(self, pod: Pod) -> bool:
        return bool(self._missing(pod))

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[additions.Patched]:
        missing = self._missing(editor.document)
        index = self._index(editor.document)
        if index is None:
            editor.append(("spec", "hostAliases"), {"ip": self.ip, "hostnames": missing})
        else:
            for hostname in missing:
                editor.append(("spec", "hostAliases", index, "hostnames"), hostname)
        return [{"op": "add", "path": self.path, "value": {"ip": self.ip, "hostnames": missing}}]

    def _index(self, pod: Pod) -> int | None:
        aliases = pod_fields.items(pod, "hostAliases")
        return next((i for i, one in enumerate(aliases) if one.get("ip") == self.ip), None)

    def _missing(self, pod: Pod) -> list[str]:
        aliases = (one for one in pod_fields.items(pod, "hostAliases") if one.get("ip") == self.ip)
        present = {name for one in aliases for name in one.get("hostnames") or ()}
        return [name for name in self.hostnames if name not in present]
