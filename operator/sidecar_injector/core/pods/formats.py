"""The kinds of names in Kubernetes, each with its pattern and a description.

https://github.com/kubernetes/apimachinery/blob/master/pkg/util/validation/validation.go
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SEARCH_LABEL = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """A kind of name."""

    pattern: re.Pattern[str]
    longest: int
    description: str
    """Completes "NAME must be …"."""

    def accepts(self, value: object) -> bool:
        """Whether a value is such a name; only a string can be."""
        if not isinstance(value, str) or len(value) > self.longest:
            return False
        return self.pattern.fullmatch(value) is not None

    def refusal(self, value: object) -> str:
        """The end of a sentence that begins with the field."""
        return f"{quoted(value)} must be {self.description}"


DNS_LABEL = Format(
    re.compile(_LABEL),
    63,
    "a DNS label: at most 63 of a-z 0-9 -, with a letter or digit at both ends",
)
DNS_SUBDOMAIN = Format(
    re.compile(rf"{_LABEL}(\.{_LABEL})*"),
    253,
    "a DNS name: at most 253 of a-z 0-9 - ., each part with a letter or digit at both ends",
)
SEARCH_DOMAIN = Format(
    re.compile(rf"{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*"),
    253,
    "a domain: at most 253 of a-z 0-9 - _ ., each part with a letter or digit at its end",
)
PORT_NAME = Format(
    re.compile(r"(?=[-0-9]*[a-z])[a-z0-9]+(-[a-z0-9]+)*"),
    15,
    "at most 15 of a-z 0-9 and single hyphens inside, with at least one letter",
)
VARIABLE = Format(re.compile(r"[ -<>-~]+"), 2**20, "printable ASCII without '='")
CONFIG_KEY = Format(
    re.compile(r"(?!\.\.)(?!\.$)[-._a-zA-Z0-9]+"),
    253,
    "at most 253 of A-Z a-z 0-9 - _ ., and not begin with '..'",
)
HEADER_NAME = Format(re.compile(r"[-A-Za-z0-9]+"), 2**20, "of A-Z a-z 0-9 -")


def quoted(value: object) -> str:
    """A value as sentences show it: short, whatever its length is."""
    text = repr(value)
    return text if len(text) <= 70 else f"{text[:60]}…{text[-1]}"


def one_of(value: object, accepted: tuple[str, ...], *, where: str) -> Iterator[str]:
    """The sentence about the field `where` if its value is not one of these words."""
    if value not in accepted:
        yield f"{where} {quoted(value)} must be one of {', '.join(accepted)}"


def is_ip(value: object) -> bool:
    """Whether it is an address as the API server takes it: no zone, no IPv4 inside IPv6.

    Releases before 1.36 took leading zeros and IPv4 inside IPv6 too:
    https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/
    """
    if not isinstance(value, str) or "%" in value:
        return False
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return not isinstance(address, ipaddress.IPv6Address) or address.ipv4_mapped is None


def steps_back(path: object) -> bool:
    """Whether a path has an element `..`."""
    return isinstance(path, str) and ".." in path.split("/")
