"""The kinds that a cluster serves, as kubectl names them: asked for once, and only if needed.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from sidecar_injector.core.pods import kinds, lenient
from sidecar_injector.kube import api

ACCEPT: Final = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A kind of one version of an API group."""

    resource: api.Resource
    words: frozenset[str]
    """Its plural, singular and short names."""
    is_namespaced: bool

    def is_named(self, word: str) -> bool:
        """Whether kubectl takes the word for it: NAME, NAME.GROUP or NAME.VERSION.GROUP."""
        name, _, group = word.lower().partition(".")
        version = self.resource.api_version.rpartition("/")[2]
        groups = ("", self.resource.group, f"{version}.{self.resource.group}")
        return name in self.words and group in groups


class Discovery:
    """Looks up kinds of custom resources; those of one group in the order of its versions."""

    def __init__(self, client: api.Api) -> None:
        self._client = client
        self._served: list[Served] | None = None

    async def by_word(self, word: str) -> Served | None:
        """The first kind of this name; None if there is none."""
        return next((served for served in await self._all() if served.is_named(word)), None)

    async def of_kind(self, group: str, kind: str) -> api.Resource | None:
        """The resource of a kind, in the version that its group prefers; None if it has none."""
        wanted = (group, kind)
        resources = (served.resource for served in await self._all())
        return next((item for item in resources if (item.group, item.kind) == wanted), None)

    async def known(self) -> list[api.Resource]:
        """The kinds with pod templates that other projects have, as far as they are served."""
        entries = [entry for entry in kinds.custom() if entry.paths]
        resources = [await self.of_kind(entry.group, entry.kind) for entry in entries]
        return [resource for resource in resources if resource]

    async def _all(self) -> list[Served]:
        if self._served is None:
            self._served = [*_read(await self._client.document("/apis", accept=ACCEPT))]
        return self._served


def _read(answer: api.Json) -> Iterator[Served]:
    for group in lenient.objects(answer, "items"):
        name = lenient.text(lenient.child(group, "metadata"), "name")
        for version in lenient.objects(group, "versions"):
            api_version = f"{name}/{lenient.text(version, 'version')}"
            for item in lenient.objects(version, "resources"):
                kind = lenient.text(lenient.child(item, "responseKind"), "kind")
                plural = lenient.text(item, "resource")
                if not (name and kind and plural):
                    continue
                words = [plural, lenient.text(item, "singularResource"), kind.lower()]
                words += lenient.strings(item, "shortNames")
                yield Served(
                    resource=api.Resource(api_version, plural, kind),
                    words=frozenset(filter(None, words)),
                    is_namespaced=item.get("scope") == "Namespaced",
                )
