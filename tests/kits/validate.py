"""What the tests of judging injections begin with."""

from __future__ import annotations

from sidecar_injector.core.linting import validate
from tests.kits.samples import container, injection


def sentences(problems):
    return [validate.sentence(one) for one in problems]


def template(**spec):
    return {"spec": spec}


def quiet(name="sidecar", **fields):
    """A container that nobody has anything to say about."""
    context = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}}
    return container(name, securityContext=context, resources=resources, **fields)


def warned(*others, name="log", cluster=False, **spec):
    spec.setdefault("template", template(containers=[quiet()]))
    one = injection(name, cluster=cluster, **spec)
    found = validate.validate(one, others=others)
    assert found.errors == ()
    return sentences(found.warnings)
