"""A pod's containers stand where OpenKruise puts them.

https://github.com/openkruise/kruise/blob/master/pkg/webhook/pod/mutating/sidecarset.go
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.kits import convert as kit
from tests.kits.samples import Json, container, decided, pod, reasons

BEFORE = "BeforeAppContainer"
NAMES = st.text("abc19-", min_size=1, max_size=4).map(lambda text: f"x{text}x")
SETTINGS: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {"image": st.just("i")},
    optional={
        "podInjectPolicy": st.sampled_from([BEFORE, "AfterAppContainer"]),
        "shareVolumePolicy": st.sampled_from([{"type": "enabled"}, {"type": "disabled"}]),
        "transferEnv": st.sampled_from(["A", "B"]).map(
            lambda name: [{"sourceContainerName": "app", "envName": name}]
        ),
    },
)
ENV = [{"name": name, "value": name} for name in ("A", "B")]


@st.composite
def sidecar_sets(draw: st.DrawFn) -> Json:
    """Sets whose containers differ in everything that decides about their injection."""
    names = draw(st.lists(NAMES, min_size=1, max_size=24, unique=True))
    lists: dict[str, list[Json]] = {"containers": [], "initContainers": []}
    for name in names:
        field = draw(st.sampled_from(sorted(lists)))
        lists[field].append({"name": name, **draw(SETTINGS)})
    return kit.sidecar_set(**lists)


def openkruise(own: list[str], sidecars: list[Json], *, default: str) -> list[str]:
    """The names of a pod's containers in OpenKruise's order."""
    before = [each for each in sidecars if each.get("podInjectPolicy", default) == BEFORE]
    after = [each for each in sidecars if each.get("podInjectPolicy", default) != BEFORE]
    return [*kit.names_of(before), *own, *kit.names_of(after)]


@given(sidecar_sets(), st.lists(st.sampled_from(["own", "wait"]), unique=True))
def test_the_order_of_containers_is_openkruises(value: Json, own: list[str]) -> None:
    conversion = kit.converted_sets(value)
    subject = pod(
        labels={"tier": "web"},
        containers=[container("app", env=ENV), container("second")],
        initContainers=[container(name) for name in own],
    )
    decision = decided(subject, *kit.read(conversion.injections))
    assert set(reasons(decision).values()) == {"Injected"}

    spec = value["spec"]
    by_name = sorted(spec["initContainers"], key=lambda each: str(each["name"]))
    assert kit.names_of(decision.pod["spec"].get("initContainers", [])) == openkruise(
        own, by_name, default="AfterAppContainer"
    )
    assert kit.names_of(decision.pod["spec"]["containers"]) == openkruise(
        ["app", "second"], spec["containers"], default=BEFORE
    )
