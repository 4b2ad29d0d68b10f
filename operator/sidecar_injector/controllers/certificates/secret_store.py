"""The certificate Secret in the API: read, written by compare-and-swap, owned by the Deployment."""

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
    """The Secret, and the Deployment that owns it."""

    namespace: str
    secret: str
    deployment: str


class SecretStore:
    """The newest known `secret`, which a watch may replace at any time.

    A response replaces it only if the watch has told nothing since the request was sent: the
    response may be older than what the watch has told meanwhile, and no event would follow.
    """

    def __init__(self, client: api.Api, *, secret_ref: SecretRef, metrics: Metrics) -> None:
        self._api, self._ref, self._writes = client, secret_ref, metrics.writes
        self.secret: api.Json | None = None
        self._observed = 0
        """How often the watch has told something."""
        self._owner_gone = False

    @property
    def name(self) -> str:
        """Namespace and name, for people."""
        return f"{self._ref.namespace}/{self._ref.secret}"

    def content(self) -> secret_data.CertificateSet | secret_data.Corrupt | None:
        """What the Secret contains; None if there is no Secret."""
        if self.secret is None:
            return None
        try:
            return secret_data.decode(self.secret.get("data") or {})
        except secret_data.Corrupt as error:
            return error

    def request(self) -> str:
        """The rotate annotation; empty if there is none."""
        annotations = api.metadata(self.secret).get("annotations") or {} if self.secret else {}
        return str(annotations.get(names.ROTATE_ANNOTATION, ""))

    def observe(self, secret: api.Json | None) -> None:
        """The watch has told this."""
        self.secret = secret
        self._observed += 1

    async def read(self) -> None:
        """Read the Secret from the API server."""
        observed = self._observed
        secret = await api.get_or_none(
            self._api, api.SECRETS, name=self._ref.secret, namespace=self._ref.namespace
        )
        if self._observed == observed:
            self.secret = secret

    async def write(
        self, certificates: secret_data.CertificateSet, *, over: api.Json | None
    ) -> bool:
        """Write the Secret if the API server still has `over`, and read it again.

        The decision to write was based on `over`. The watch may replace `secret` during this call.
        False if its Deployment is missing or being deleted: a write would disturb an uninstall.
        """
        owner = await self._owner()
        if owner is None:
            return False
        body = _body(over, certificates=certificates, secret_ref=self._ref, owner=owner)
        ref = self._ref
        try:
            if over is None:
                await self._api.create(api.SECRETS, body, namespace=ref.namespace)
            else:
                await self._api.replace(api.SECRETS, body, name=ref.secret, namespace=ref.namespace)
        except api.ApiError as error:
            if error.status not in {api.CONFLICT, api.NOT_FOUND}:
                raise
            self._writes.labels(object="secret", result="conflict").inc()
        else:
            self._writes.labels(object="secret", result="written").inc()
            log.info("wrote certificates of generation %d", certificates.generation)
        await self.read()
        return True

    async def _owner(self) -> api.Json | None:
        ref = self._ref
        owner = await api.owner_reference(
            self._api, api.DEPLOYMENTS, name=ref.deployment, namespace=ref.namespace
        )
        if owner is None and not self._owner_gone:
            message = "no certificates are written: there is no Deployment %s/%s to own them"
            log.warning(message, ref.namespace, ref.deployment)
        self._owner_gone = owner is None
        return owner


def _body(
    existing: api.Json | None,
    *,
    certificates: secret_data.CertificateSet,
    secret_ref: SecretRef,
    owner: api.Json,
) -> api.Json:
    """The Secret to write, with the labels and annotations of the existing one."""
    metadata = api.metadata(existing) if existing else {}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(names.ROTATE_ANNOTATION, None)
    preserved = {key: metadata[key] for key in ("resourceVersion", "labels") if key in metadata}
    return {
        "apiVersion": api.SECRETS.api_version,
        "kind": api.SECRETS.kind,
        # The type of an existing Secret cannot be changed.
        "type": existing.get("type", SECRET_TYPE) if existing else SECRET_TYPE,
        "metadata": {
            **preserved,
            "name": secret_ref.secret,
            "namespace": secret_ref.namespace,
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "data": secret_data.encode(certificates),
    }
