"""The guard refuses only pods that lack what the decision would give them."""

from sidecar_injector import crds, names
from sidecar_injector.core.injections import model
from sidecar_injector.core.policies import chain, guard
from tests.kits import samples

LABELS = {"metadata": {"labels": {"tier": "web"}}}
WEB = {"matchLabels": {"tier": "web"}}


def needed(**spec):
    return samples.injection("needed", cluster=True, failurePolicy="Fail", **spec)


def adding_labels(number=0, *, cluster=False, **spec):
    resource = samples.resource(f"labels-{number}", cluster=cluster, template=LABELS, **spec)
    if not cluster:
        resource["metadata"]["namespace"] = f"team-{number}"
    return model.read(resource, spec_schema=crds.spec_schema(resource["kind"]))


def compiled(*injections, others=()):
    return chain.compile_chain(injections, chain.Place(), others=others)


def expression(*injections, others=()):
    (validation,) = compiled(*injections, others=others).guard["validations"]
    return validation["expression"]


def test_it_asks_for_the_operating_system_of_the_template():
    assert "variables.linux" in expression(needed())
    assert "variables.linux" not in expression(needed(operatingSystem="Any"))
    variables = {each["name"]: each["expression"] for each in compiled(needed()).guard["variables"]}
    assert "kubernetes.io/os" in variables["linux"]


def test_a_request_that_only_the_webhook_reads_surely_lets_a_pod_pass():
    assert "variables.clear" in expression(needed())
    assert "variables.clear" not in expression(needed(optOut="Forbidden"))


def test_a_container_that_is_merged_into_is_known_by_its_name():
    assert '"sidecar" in variables.names' in expression(needed(onConflict="Merge"))
    assert '"sidecar example/sidecar:1" in variables.images' in expression(needed())


def test_labels_that_any_injection_adds_are_none_of_the_author():
    adding = adding_labels(cluster=True)
    for result in (
        compiled(needed(selector=WEB), adding),
        compiled(needed(selector=WEB), others=[adding]),
    ):
        (left,) = result.unguarded
        assert left.path == "spec.selector"
        assert left.why == "asks for the label tier, which cluster/labels-0 adds"
        assert result.guard is None
    for idle in ({"suspend": True}, {"dryRun": True}):
        result = compiled(needed(selector=WEB), others=[adding_labels(cluster=True, **idle)])
        assert result.unguarded == ()
    for selector in (None, {"matchLabels": {"app": "web"}}):
        assert compiled(needed(selector=selector), adding).unguarded == ()


def test_nobody_selects_by_the_mark_of_an_injected_pod():
    marked = {"matchExpressions": [{"key": names.INJECTED_LABEL, "operator": "Exists"}]}
    (left,) = compiled(needed(selector=marked)).unguarded
    assert left.why == f"asks for the label {names.INJECTED_LABEL}, which the injection adds"


def test_labels_of_namespaced_injections_matter_in_their_namespaces():
    assert '!(request.namespace in ["team-0"])' in expression(
        needed(selector=WEB), others=[adding_labels()]
    )
    assert "request.namespace" not in expression(needed(), others=[adding_labels()])


def test_it_names_few_namespaces():
    many = [adding_labels(number) for number in range(guard.MOST_NAMESPACES + 1)]
    assert compiled(needed(selector=WEB), others=many[1:]).unguarded == ()
    (left,) = compiled(needed(selector=WEB), others=many).unguarded
    assert left.why == f"asks for labels that injections of {len(many)} namespaces add"
