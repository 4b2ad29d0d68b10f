"""What an administrator may change, each declared once with unit, default and why.

A field `leaf_seconds` is the environment variable `SIDECAR_INJECTOR_LEAF_SECONDS` and the chart
value `settings.leafSeconds` (the first group below is set by the chart from other values).
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Mapping

from sidecar_injector import names

PREFIX = "SIDECAR_INJECTOR_"
DAY = 86_400
MAX_SECONDS = 100 * 365 * DAY
"""Dates further away do not fit into certificates."""
MAX_DIGITS = 18
"""More than any setting has, and few enough to be read as a number at once."""

CERTIFICATE_MODES = ("selfSigned", "certManager", "provided")
LOG_FORMATS = ("auto", "text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingError(ValueError):
    """A setting that cannot be used; the text names the variable, its value, what is accepted."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The operator's configuration, complete and checked; nothing else reads the environment."""

    # Set by the chart from where and how it is installed.
    namespace: str = names.PRODUCT
    """The namespace of the release: its pods are never injected."""
    fullname: str = names.PRODUCT
    """The chart's fullname: the name of Service, Deployment and both webhook configurations."""
    pod_name: str = names.PRODUCT
    """This replica, as the Lease and the log name it."""
    secret_name: str = names.secret_name(names.PRODUCT)
    """The Secret with the certificates."""
    certificate_mode: str = CERTIFICATE_MODES[0]
    """Who makes the certificates: we, cert-manager, or the administrator."""
    webhook_port: int = 9443
    """TCP port of the admission server (TLS), above 1024 so that no capability is needed."""
    admin_port: int = 8080
    """TCP port of /healthz, /readyz and /metrics (plain HTTP)."""
    scratch_folder: str = "/tmp"  # noqa: S108 - the chart mounts an emptyDir of the pod's own there
    """A private writable folder: OpenSSL reads keys from files only."""

    # Chart values under `settings`.
    cluster_domain: str = "cluster.local"
    """DNS domain of the cluster, the last part of the fourth name in the certificate."""
    leaf_seconds: int = 30 * DAY
    """Life of the serving certificate; renewed when a third is left, so ten days may be missed."""
    ca_seconds: int = 365 * DAY
    """Life of the CA; rolled when two thirds have passed."""
    ca_roll_wait_seconds: int = 60
    """How long a new CA must have been in the live configuration before anything is signed by it:
    longer than any API server takes to see a change, for which Kubernetes has no signal."""
    drain_seconds: int = 5
    """How long a terminating replica keeps serving while its endpoint is withdrawn."""
    max_requests_per_connection: int = 0
    """After so many requests a connection is closed politely, which spreads load; 0 is no limit."""
    max_connections: int = 1000
    """TLS connections at the same time, at 30 KiB each; 0 is no limit. Each API server has at most
    200 writes under way (--max-mutating-requests-inflight); one too many costs whoever opened one
    and never asked."""
    client_ca: str = ""
    """PEM of the CA whose clients alone may ask, for API servers that present a certificate; empty
    lets everybody ask, who learns what injections would do to a pod of theirs."""
    audit_seconds: int = 30
    """Pause between two audits of all pods."""
    log_format: str = "auto"
    """`text` for people, `json` for machines; `auto` is text on a terminal, else json."""
    log_level: str = "info"
    """The least severe level that is logged."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read every field from its variable; an empty or absent variable is the default.

        Raises SettingError for an unknown `SIDECAR_INJECTOR_` variable and for a value that does
        not parse or is out of range.
        """
        fields = {PREFIX + field.name.upper(): field for field in dataclasses.fields(cls)}
        unknown = sorted(key for key in environment if key.startswith(PREFIX) and key not in fields)
        if unknown:
            raise SettingError(f"{unknown[0]} is no setting; known are {', '.join(sorted(fields))}")

        values: dict[str, int | str] = {}
        for variable, field in fields.items():
            text = environment.get(variable, "")
            if text:
                values[field.name] = _integer(variable, text) if field.type == "int" else text
        settings = cls(**values)  # type: ignore[arg-type]  # built from the fields themselves
        settings._check()
        return settings

    def _check(self) -> None:
        for field in ("webhook_port", "admin_port"):
            _within(variable(field), getattr(self, field), 0, 65_535)
        for field in ("leaf_seconds", "ca_seconds", "audit_seconds"):
            _within(variable(field), getattr(self, field), 1, MAX_SECONDS)
        _one_of(variable("certificate_mode"), self.certificate_mode, CERTIFICATE_MODES)
        _one_of(variable("log_format"), self.log_format, LOG_FORMATS)
        _one_of(variable("log_level"), self.log_level, LOG_LEVELS)
        _authority(variable("client_ca"), self.client_ca)
        if self.leaf_seconds > self.ca_seconds:
            raise SettingError(
                f"{variable('leaf_seconds')}={self.leaf_seconds}: a certificate cannot outlive its"
                f" CA, which lives {self.ca_seconds} s ({variable('ca_seconds')})"
            )


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def _integer(variable: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
        raise SettingError(f"{variable}={text}: must be a whole number of 0 or more")
    return int(text)


def _within(variable: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SettingError(f"{variable}={value}: must be a number from {least} to {most}")


def _authority(variable: str, pem: str) -> None:
    """Unless it is empty; a value of many lines is not repeated in a message of one."""
    try:
        if pem:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)
    except (ssl.SSLError, TypeError) as error:
        raise SettingError(
            f"{variable}: must be PEM certificates of a CA (BEGIN CERTIFICATE), not these"
            f" {len(pem)} characters"
        ) from error


def _one_of(variable: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise SettingError(f"{variable}={value}: must be one of {', '.join(accepted)}")
