"""What files do not say about a pod, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import decision
from sidecar_injector.core.injections import model
from sidecar_injector.core.pods import controllers
from sidecar_injector.core.reasons import Level, Reason


def notes(
    decided: decision.Decision,
    undecided: Mapping[model.Injection, str],
    *,
    knows_account: bool,
    knows_namespace: bool,
) -> Iterator[str]:
    """What could not be known for a decision, in sentences."""
    for injection, key in undecided.items():
        yield (
            f"{injection.reference} depends on {key!r}, whose value only the cluster knows: it is"
            " left to the webhook"
        )
    for line in decided.evaluated:
        if line.reason.level is Level.MATCH or line.injection.errors:
            continue
        is_conflict = line.reason is Reason.MOUNT_PATH_CONFLICT
        if is_conflict and not knows_account and names.TOKEN_PATH in line.message:
            yield (
                f"{line.injection.reference} would fit if the ServiceAccount had"
                " automountServiceAccountToken: false, which no file says"
            )
        for parameter in line.injection.spec.get("parameters") or ():
            annotation = (parameter.get("from") or {}).get("namespaceAnnotation")
            if annotation and not knows_namespace and parameter.get("default") is not None:
                yield (
                    f"{line.injection.reference} reads the annotation {annotation!r} of the"
                    " namespace,"
                    " which is in no file: the default counts"
                )


def note_on_pull_secrets(written: Mapping[str, Any], decided: decision.Decision) -> str:
    """A sentence about the ServiceAccount's pull secrets; empty if they still reach the pod."""
    if (written.get("spec") or {}).get("imagePullSecrets"):
        return ""
    path = "/spec/imagePullSecrets"
    if not any(operation["path"].startswith(path) for operation in decided.operations):
        return ""
    account = controllers.account_of(written)
    return (
        f"the manifest has imagePullSecrets now, so the pod no longer gets those of the"
        f" ServiceAccount {account!r}: name them in the manifest if it has any"
    )
