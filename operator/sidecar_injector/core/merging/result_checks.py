"""The last check before a pod with an injection's parts is adopted: would it be accepted?

Only what the parts cause counts, not what was wrong with the pod before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.merging import additions
from sidecar_injector.core.reasons import Conflict, Reason
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import pod as pod_rules
from sidecar_injector.core.validity import pod_security

Pod = Mapping[str, Any]


def check(
    before: Pod,
    after: Pod,
    *,
    view: namespace_view.NamespaceView | None,
    precomputed: container_rules.TemplateProblems | None,
) -> Conflict | None:
    """Why the resulting pod `after` must not be adopted; None if it may be.

    Without a `view` of the namespace, only what the API server requires of every pod is checked.
    """
    if view and (conflict := _of_namespace(before, after, view)):
        return conflict
    if problem := pod_rules.problem(before=before, after=after, precomputed=precomputed):
        return Conflict(Reason.POD_WOULD_BE_INVALID, problem)
    return None


def _of_namespace(before: Pod, after: Pod, view: namespace_view.NamespaceView) -> Conflict | None:
    """What the namespace does not accept: a missing ServiceAccount, Pod Security."""
    account = additions.scalar(after, "serviceAccountName")
    exists = view.service_accounts is None or account in view.service_accounts
    if not exists and account != additions.scalar(before, "serviceAccountName"):
        return Conflict(Reason.MISSING_SERVICE_ACCOUNT, repr(account))
    level = view.namespace.labels.get(names.POD_SECURITY_ENFORCE_LABEL, "privileged")
    if level != "privileged":
        present = set(pod_security.violations(level, before))
        for violation in pod_security.violations(level, after):
            if violation not in present:
                return Conflict(Reason.POD_SECURITY, f"{level}: {violation}")
    return None
