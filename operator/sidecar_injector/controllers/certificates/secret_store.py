"""The certificate Secret as an object of the API: read, compared and swapped, owned."""

from __future__ import annotations

import dataclasses
import logging

from sidecar_injector import names
from sidecar_injector.kube import api
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import secret_data

log = logging.getLogger(__name__)

SECRET_TYPE = "kubernetes.io/tls"  # noqa: S105 - a type, no secret


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """Where the Secret is, and the Deployment that owns it."""

    namespace: str
    secret: str
    deployment: str

    def scope(self) -> api.Scope:
        """What to watch."""
        return api.by_name(self.secret, namespace=self.namespace)


class SecretStore:
    """The Secret as last heard of; `raw` may be set by whoever watches it."""

    def __init__(self, client: api.Api, *, place: SecretRef, metrics: Metrics) -> None:
        self._api, self._place, self._writes = client, place, metrics.writes
        self.raw: api.Json | None = None
        self._owner_gone = False

    @property
    def name(self) -> str:
        """Namespace and name, for people."""
        return f"{self._place.namespace}/{self._place.secret}"

    def found(self) -> secret_data.Stored | secret_data.Corrupt | None:
        """What it says."""
        if self.raw is None:
            return None
        try:
            return secret_data.decode(self.raw.get("data") or {})
        except secret_data.Corrupt as error:
            return error

    def request(self) -> str:
        """What its rotate annotation asks for, if anything."""
        annotations = api.metadata(self.raw).get("annotations") or {} if self.raw else {}
        return str(annotations.get(names.ROTATE_ANNOTATION, ""))

    async def read(self) -> None:
        """Ask the API server."""
        place = self._place
        self.raw = await _optional(
            self._api, api.SECRETS, name=place.secret, namespace=place.namespace
        )

    async def write(self, stored: secret_data.Stored, *, over: api.Json | None) -> bool:
        """Write it if it is still `over`, which the decision was based on; else read it again.

        `raw` will not do for that: while we wait for an answer, the watch may put a newer one in
        its place. False means that it must not be written: its Deployment is gone or going, and
        an uninstall is not fought.
        """
        owner = await self._owner()
        if owner is None:
            return False
        body = _body(over, stored=stored, place=self._place, owner=owner)
        try:
            self.raw = await self._put(body, create=over is None)
        except api.ApiError as error:
            if error.status not in {api.CONFLICT, api.NOT_FOUND}:
                raise
            self._writes.labels(object="secret", result="conflict").inc()
            await self.read()
        else:
            self._writes.labels(object="secret", result="written").inc()
            log.info("wrote certificates of generation %d", stored.generation)
        return True

    async def _put(self, body: api.Json, *, create: bool) -> api.Json:
        place = self._place
        if create:
            return await self._api.create(api.SECRETS, body, namespace=place.namespace)
        return await self._api.replace(
            api.SECRETS, body, name=place.secret, namespace=place.namespace
        )

    async def _owner(self) -> api.Json | None:
        place = self._place
        found = await _optional(
            self._api, api.DEPLOYMENTS, name=place.deployment, namespace=place.namespace
        )
        gone = found is None or "deletionTimestamp" in api.metadata(found)
        if gone and not self._owner_gone:
            log.warning(
                "no certificates are written: there is no Deployment %s/%s to own them",
                place.namespace,
                place.deployment,
            )
        self._owner_gone = gone
        return None if gone else found


async def _optional(
    client: api.Api, resource: api.Resource, *, name: str, namespace: str
) -> api.Json | None:
    try:
        return await client.get(resource, name=name, namespace=namespace)
    except api.ApiError as error:
        if error.status != api.NOT_FOUND:
            raise
        return None


def _body(
    found: api.Json | None, *, stored: secret_data.Stored, place: SecretRef, owner: api.Json
) -> api.Json:
    """The Secret to write. Of an existing one all that is not ours is kept."""
    metadata = api.metadata(found) if found else {}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(names.ROTATE_ANNOTATION, None)
    reference = {
        "apiVersion": api.DEPLOYMENTS.api_version,
        "kind": "Deployment",
        "name": place.deployment,
        "uid": api.metadata(owner)["uid"],
    }
    kept = {key: metadata[key] for key in ("resourceVersion", "labels") if key in metadata}
    return {
        "apiVersion": api.SECRETS.api_version,
        "kind": "Secret",
        # The type of an existing Secret cannot be changed.
        "type": found.get("type", SECRET_TYPE) if found else SECRET_TYPE,
        "metadata": {
            **kept,
            "name": place.secret,
            "namespace": place.namespace,
            "annotations": annotations,
            "ownerReferences": [reference],
        },
        "data": secret_data.encode(stored),
    }
