"""The last look at a pod before an injection is taken over: would the API server accept it?

Only what the injection brings about counts; what was wrong with the pod before is its author's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.merging import additions
from sidecar_injector.core.merging.conflict import Conflict
from sidecar_injector.core.reasons import Reason
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import pod as pod_rules
from sidecar_injector.core.validity import pod_security

Pod = Mapping[str, Any]


def check(
    before: Pod,
    after: Pod,
    *,
    known: namespace_view.NamespaceView,
    precomputed: container_rules.TemplateProblems | None = None,
) -> Conflict | None:
    """Why the pod must not come out like this; None if it may."""
    account = additions.Scalar("serviceAccountName", None)
    wanted = account.current(after)
    exists = known.service_accounts is None or wanted in known.service_accounts
    if wanted != account.current(before) and not exists:
        return Conflict(Reason.MISSING_SERVICE_ACCOUNT, repr(wanted))
    level = known.namespace.labels.get(names.POD_SECURITY_ENFORCE_LABEL, "privileged")
    if level != "privileged":
        old = set(pod_security.violations(level, before))
        new = [one for one in pod_security.violations(level, after) if one not in old]
        if new:
            return Conflict(Reason.POD_SECURITY, f"{level}: {new[0]}")
    if problem := pod_rules.problem(before=before, after=after, precomputed=precomputed):
        return Conflict(Reason.POD_WOULD_BE_INVALID, problem)
    return None
