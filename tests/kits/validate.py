"""What the tests of judging injections begin with."""

from __future__ import annotations

from sidecar_injector.core.linting import validate
from tests.kits.samples import container, injection
from tests.kits.validity import HARMLESS


def sentences(problems):
    return [str(problem) for problem in problems]


def template(**spec):
    return {"spec": spec}


def quiet(name="sidecar", **fields):
    """A container without a warning."""
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}}
    return container(name, securityContext={**HARMLESS}, resources=resources, **fields)


def warned(*others, name="log", cluster=False, **spec):
    spec.setdefault("template", template(containers=[quiet()]))
    findings = validate.validate(injection(name, cluster=cluster, **spec), others=others)
    assert findings.errors == ()
    return sentences(findings.warnings)
