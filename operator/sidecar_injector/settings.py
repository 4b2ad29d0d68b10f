"""What an administrator may change: each setting with its unit, default and reason.

A field `leaf_seconds` is the environment variable `SIDECAR_INJECTOR_LEAF_SECONDS` and the chart
value `settings.leafSeconds` (the first group below is set by the chart from other values). What
ends with `_seconds` is a number of seconds or a duration such as 1h30m.
"""

from __future__ import annotations

import dataclasses
import re
import ssl
from collections.abc import Mapping

from sidecar_injector import names

PREFIX = "SIDECAR_INJECTOR_"
DAY = 86_400
MAX_SECONDS = 100 * 365 * DAY
"""Later dates do not fit into certificates."""
MAX_DIGITS = 18
"""More than any setting needs, and few enough for int() to be fast."""

_DURATION = re.compile(r"(?:[0-9]{1,9}[hms]){1,3}")
"""Whole numbers with units of Go's durations, which kubectl, Helm and cert-manager read; Go has no
days."""
_SECONDS = {"h": 3600, "m": 60, "s": 1}

CERTIFICATE_MODES = ("selfSigned", "certManager", "provided")
QUOTAS = ("Checked", "Ignored")
POLICIES = ("Unmanaged", "Managed")
LOG_FORMATS = ("auto", "text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingError(ValueError):
    """A setting that cannot be used; the text has the variable, its value and what is accepted."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The operator's configuration, complete and checked; nothing else reads these variables."""

    # The chart sets these from the place and the way it is installed.
    namespace: str = names.PRODUCT
    """The namespace of the release: pods in it are never injected."""
    fullname: str = names.PRODUCT
    """The chart's fullname: the name of Service, Deployment and both webhook configurations."""
    pod_name: str = names.PRODUCT
    """This replica, as the Lease and the log name it."""
    secret_name: str = names.secret_name(names.PRODUCT)
    """The Secret with the certificates."""
    certificate_mode: str = CERTIFICATE_MODES[0]
    """Who issues the certificates: the operator, cert-manager, or the administrator."""
    quotas: str = QUOTAS[0]
    """Whether the LimitRanges and ResourceQuotas of namespaces are read, and sidecars left out that
    they forbid."""
    policies: str = POLICIES[0]
    """Whether the operator keeps the admission policies in which compiled injections are."""
    webhook_port: int = 9443
    """TCP port of the admission server (TLS); above 1024, so no capability is needed."""
    scratch_folder: str = "/tmp"  # noqa: S108 - the chart mounts an emptyDir of the pod's own there
    """A private writable folder: OpenSSL reads keys from files only."""

    # Chart values under `settings`.
    admin_port: int = 8080
    """TCP port of /healthz, /readyz and /metrics (plain HTTP)."""
    cluster_domain: str = "cluster.local"
    """DNS domain of the cluster, the last part of the fourth name in the certificate."""
    leaf_seconds: int = 30 * DAY
    """Life of the serving certificate. It is renewed when a third is left: ten days for repairs."""
    ca_seconds: int = 365 * DAY
    """Life of the CA; a new one follows when two thirds have passed."""
    ca_roll_wait_seconds: int = 60
    """How long a new CA must be in the webhook configurations before it signs anything: longer than
    any API server takes to see a change. Kubernetes has no signal for that."""
    drain_seconds: int = 5
    """How long a terminating replica serves on, until no endpoint names it any more."""
    max_requests_per_connection: int = 0
    """A connection is closed after so many requests, which spreads load; 0 is no limit."""
    max_connections: int = 500
    """TLS connections at the same time, 25 to 80 KiB each; 0 is as many as files may be open. An
    API server has at most 200 writes at the same time (--max-mutating-requests-inflight). If there
    is one connection too many, the oldest that was never used is closed."""
    client_ca: str = ""
    """PEM of a CA, for API servers that present a client certificate: only clients with one of this
    CA are answered. Empty answers everybody, who can learn what injections do to a pod."""
    audit_seconds: int = 30
    """Pause between two audits of all pods."""
    log_format: str = "auto"
    """`text` for people, `json` for machines; `auto` is text on a terminal, else json."""
    log_level: str = "info"
    """The least severe level that is logged."""

    @property
    def quotas_are_checked(self) -> bool:
        """Whether LimitRanges and ResourceQuotas are read."""
        return self.quotas == QUOTAS[0]

    @property
    def policies_are_managed(self) -> bool:
        """Whether the operator writes admission policies."""
        return self.policies == POLICIES[1]

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
                values[field.name] = _value(variable, text) if field.type == "int" else text
        settings = cls(**values)  # type: ignore[arg-type]  # built from the fields themselves
        settings._check()
        return settings

    def _check(self) -> None:
        for field in ("webhook_port", "admin_port"):
            _check_range(variable(field), getattr(self, field), 0, 65_535)
        for field in ("leaf_seconds", "ca_seconds", "audit_seconds"):
            _check_range(variable(field), getattr(self, field), 1, MAX_SECONDS)
        _check_choice(variable("certificate_mode"), self.certificate_mode, CERTIFICATE_MODES)
        _check_choice(variable("quotas"), self.quotas, QUOTAS)
        _check_choice(variable("policies"), self.policies, POLICIES)
        _check_choice(variable("log_format"), self.log_format, LOG_FORMATS)
        _check_choice(variable("log_level"), self.log_level, LOG_LEVELS)
        _check_ca(variable("client_ca"), self.client_ca)
        if self.leaf_seconds > self.ca_seconds:
            raise SettingError(
                f"{variable('leaf_seconds')}={self.leaf_seconds}: a certificate cannot outlive its"
                f" CA, which lives {self.ca_seconds} s ({variable('ca_seconds')})"
            )


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def _value(variable: str, text: str) -> int:
    if not variable.endswith("_SECONDS"):
        return _integer(variable, text, accepted="a whole number of 0 or more")
    if _DURATION.fullmatch(text):
        parts = re.findall(r"([0-9]+)([hms])", text)
        return sum(int(number) * _SECONDS[unit] for number, unit in parts)
    return _integer(variable, text, accepted="whole seconds (5400) or a duration (1h30m, 720h)")


def _integer(variable: str, text: str, *, accepted: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
        raise SettingError(f"{variable}={text}: must be {accepted}")
    return int(text)


def _check_range(variable: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SettingError(f"{variable}={value}: must be a number from {least} to {most}")


def _check_ca(variable: str, pem: str) -> None:
    """Check it unless it is empty; the message of one line does not repeat the value of many."""
    try:
        if pem:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)
    except (ssl.SSLError, TypeError) as error:
        raise SettingError(
            f"{variable}: must be PEM certificates of a CA (BEGIN CERTIFICATE), not these"
            f" {len(pem)} characters"
        ) from error


def _check_choice(variable: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise SettingError(f"{variable}={value}: must be one of {', '.join(accepted)}")
