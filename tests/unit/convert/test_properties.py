"""What is true of every conversion, for sources of roughly the right shape."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.convert import findings, morvencao, sidecars, sidecarset, sources, tumblr
from sidecar_injector.core.pods import annotation
from tests.kits import convert as kit
from tests.kits.samples import Json

WORDS = st.sampled_from(
    ["a", "logs", "Logs:v2", "yes", "", "BeforeAppContainer", "AfterAppContainer", "enabled",
     "HotUpgrade", "Overwrite", "Always", "/data", "/data/", "$(params.x)", "$(pod.namespace)",
     "10.0.0.1", "tier", "In", "100m", "ConfigMap", "List", "v1"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-1, 70) | st.floats() | WORDS
KEYS = st.sampled_from(
    ["name", "image", "env", "value", "valueFrom", "volumeMounts", "mountPath", "ports", "items",
     "containerPort", "resources", "limits", "cpu", "emptyDir", "configMap", "hostnames", "ip",
     "matchLabels", "matchExpressions", "key", "operator", "values", "paused", "revision", "type",
     "annotations", "patchPolicy", "envName", "envNames", "sourceContainerName", "restartPolicy",
     "example.com/x", "sidecar-injector.dev/inject", "hostPid", "apiVersion", "kind", "data",
     *sidecars.OWN_FIELDS]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
MOUNTS = st.fixed_dictionaries({"name": WORDS, "mountPath": WORDS})
VARIABLES = st.fixed_dictionaries({"name": WORDS}, optional={"value": SCALARS})
CONTAINERS = st.fixed_dictionaries(
    {"name": WORDS},
    optional={
        "image": WORDS,
        "env": st.lists(VARIABLES, max_size=2),
        "volumeMounts": st.lists(MOUNTS, max_size=2),
        "podInjectPolicy": WORDS | ANYTHING,
        "transferEnv": ANYTHING,
        "shareVolumePolicy": st.fixed_dictionaries({"type": WORDS}),
        "restartPolicy": WORDS,
    },
)
SHAPED = {
    "containers": st.lists(CONTAINERS, max_size=3),
    "initContainers": st.lists(CONTAINERS, max_size=2),
    "volumes": st.lists(st.fixed_dictionaries({"name": WORDS, "emptyDir": st.just({})})),
    "env": st.lists(VARIABLES, max_size=2),
    "volumeMounts": st.lists(MOUNTS, max_size=2),
    "hostAliases": st.lists(st.dictionaries(st.sampled_from(["ip", "hostnames"]), ANYTHING)),
    "selector": st.dictionaries(st.sampled_from(["matchLabels", "matchExpressions"]), ANYTHING),
    "patchPodMetadata": st.lists(
        st.fixed_dictionaries({"annotations": ANYTHING}, optional={"patchPolicy": WORDS})
    ),
}


def shaped(fields: tuple[str, ...]) -> st.SearchStrategy[Json]:
    """Objects with these fields, each of a likely shape or of any."""
    return st.fixed_dictionaries(
        {}, optional={field: SHAPED.get(field, ANYTHING) | ANYTHING for field in fields}
    )


TEMPLATES = shaped(tumblr.FIELDS)
NAMED_TEMPLATES = st.builds(lambda template, name: {**template, "name": name}, TEMPLATES, WORDS)
SETS = st.fixed_dictionaries(
    {
        "apiVersion": st.sampled_from(["apps.kruise.io/v1alpha1", "apps.kruise.io/v1beta1"]),
        "kind": st.just("SidecarSet"),
        "spec": shaped(sidecarset.FIELDS) | ANYTHING,
    },
    optional={"metadata": ANYTHING},
)


def check_promises(conversion: findings.Conversion) -> None:
    """The promises of every converter."""
    assert kit.misfits(conversion) == []
    names = kit.injection_names(conversion)
    assert len(set(names)) == len(names)
    for name in names:
        assert annotation.read({"sidecar-injector.dev/inject": name}).listed == (name,)
    for finding in itertools.chain(conversion.warnings, conversion.notes):
        assert finding.place
        assert finding.sentence
    assert (
        list(yaml_documents.load_all(yaml_documents.dump_all(conversion.injections)))
        == conversion.injections
    )
    # There is a warning for whatever the API server would refuse.
    for injection in kit.read(conversion.injections):
        assert not injection.errors or any(
            f"{injection.name!r} would be refused" in text for text in kit.warnings(conversion)
        )


@given(
    st.lists(NAMED_TEMPLATES | TEMPLATES | ANYTHING, max_size=3), st.lists(TEMPLATES, max_size=2)
)
def test_any_template_is_converted_or_warned_about(values: list[Any], bases: list[Json]) -> None:
    inherited = tuple(sources.SourceObject(place="base", value=base) for base in bases)
    for namespace in (None, "shop"):
        documents = [kit.source(value, bases=inherited) for value in values]
        check_promises(tumblr.convert(documents, parse=kit.parse, target=kit.target(namespace)))


@given(st.lists(shaped(morvencao.FIELDS) | ANYTHING, max_size=3))
def test_any_configuration_is_converted_or_warned_about(values: list[Any]) -> None:
    documents = [kit.source(value) for value in values]
    conversion = morvencao.convert(documents, parse=kit.parse, target=kit.target())
    check_promises(conversion)


@given(st.lists(SETS | ANYTHING, max_size=2))
def test_any_sidecar_set_is_converted_or_warned_about(values: list[Any]) -> None:
    conversion = sidecarset.convert([kit.source(value) for value in values], target=kit.target())
    check_promises(conversion)
    for resource in conversion.injections:
        selector = resource["spec"].get("selector") or {}
        assert any(selector.values()) or resource["spec"]["suspend"]
