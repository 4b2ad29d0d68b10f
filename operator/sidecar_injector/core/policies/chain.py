"""One policy for all injections that are compiled, in the order in which they are tried.

The order of several policies is random in the API server, and each mutation costs a pod a round
trip through JSON: so there is one policy with one mutation, which is one JSON patch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.injections import model

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """An injection that stays with the webhook, the field that is the cause, and why."""

    injection: model.Injection
    path: str
    why: str
    is_size: bool = False
    """Whether a limit of size is the cause."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is known of the cluster in which a policy works."""

    release_namespace: str = names.PRODUCT
    """Its pods are never injected."""
    limited: Collection[str] = ()
    """Namespaces with a LimitRange or a ResourceQuota, which a policy cannot see: their pods are
    left to the webhook."""
    minor: int | None = None
    """The release, 36 for 1.36; None if it is not known, and then the newest."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What became of the injections."""

    compiled: tuple[model.Injection, ...]
    left: tuple[Left, ...]
    policy: Json | None
    """The `spec` of the MutatingAdmissionPolicy; None if nothing is compiled."""
    guard: Json | None
    """The `spec` of a ValidatingAdmissionPolicy that holds `failurePolicy: Fail`; None without such
    injections."""
    unguarded: tuple[Left, ...] = ()
    """Compiled injections with `failurePolicy: Fail` that the guard cannot hold."""


def compile_chain(
    wanted: Iterable[model.Injection],
    place: Place,
    *,
    others: Iterable[model.Injection] = (),
) -> Chain:
    """Compile the `wanted` injections, in any order; `others` are those that the webhook does."""
    raise NotImplementedError


def manifests(chain: Chain, *, name: str, guarded: bool) -> list[Json]:
    """The policy and its binding; with `guarded`, also the guard and its binding.

    All are `admissionregistration.k8s.io/v1`; the guard is called `NAME-guard`. The annotation
    `COMPILED_FROM` lists the injections, `COMPILED_HASH` has the hash of the spec.
    """
    raise NotImplementedError


COMPILED_FROM: Final = f"{names.GROUP}/compiled-from"
COMPILED_HASH: Final = f"{names.GROUP}/compiled-hash"
