"""The arithmetic of `make bench`, and that all compared injectors get the same requests."""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import json
import pathlib
import types

import pytest

from benchmarks import (
    errors,
    policies,
    policy_install,
    policy_starts,
    product,
    results,
    reviews,
    servers,
)

COMPARATORS = pathlib.Path(servers.__file__).parent / "comparators"


def loaded(path: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("comparator", COMPARATORS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert results.percentile(list(range(100, 0, -1)), share) == value


def test_a_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert str(results.Spread.of([3, 1, 200])) == "3 (1\N{EN DASH}200)"
    assert str(results.Spread.of([5060.4])) == "5,060"


@pytest.mark.parametrize(
    ("value", "bounds", "line"),
    [
        (0.8, {"least": 0.8}, "it: 0.80 ms (target ≥ 0.80 ms) ok"),
        (0.79, {"least": 0.8}, "it: 0.79 ms (target ≥ 0.80 ms) short"),
        (3.0, {"most": 3}, "it: 3 ms (target ≤ 3 ms) ok"),
        (3.01, {"most": 3}, "it: 3.01 ms (target ≤ 3 ms) short"),
    ],
)
def test_a_figure_says_whether_it_keeps_its_promise(
    value: float, bounds: dict[str, float], line: str
) -> None:
    assert str(results.Figure(name="it", value=value, unit="ms", **bounds)) == line


def test_the_recorded_review_is_of_an_ordinary_pod() -> None:
    review = json.loads(reviews.recorded())
    assert 5_000 < len(reviews.recorded()) < 6_500
    assert review["request"]["namespace"] == product.NAMESPACE
    assert review["request"]["object"]["metadata"]["labels"]["app"] == "web"


@pytest.mark.parametrize("kibibytes", [2, 6, 64, 1000])
def test_a_review_grows_to_the_size_of_pod_that_was_asked_for(kibibytes: int) -> None:
    pod = json.loads(reviews.of_size(kibibytes * 1024))["request"]["object"]
    assert len(reviews.dump(pod)) == pytest.approx(kibibytes * 1024, rel=0.1)


@pytest.mark.parametrize("path", ["nothing/server.py", "kopf_stock/handler.py"])
def test_comparators_add_what_the_injection_adds(path: str) -> None:
    comparator, spec = loaded(path), product.injection()["spec"]["template"]["spec"]
    assert spec["containers"] == [comparator.CONTAINER]
    assert spec["volumes"] == [comparator.VOLUME]


@pytest.mark.parametrize(
    "operations", [[], [{"op": "add", "path": "/spec/containers/-", "value": {"name": "other"}}]]
)
def test_a_server_that_adds_something_else_is_not_measured(operations: list[object]) -> None:
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    answer = {"response": {"allowed": True, "patch": patch}}
    with pytest.raises(errors.WrongAnswerError, match="wanted 'the sidecar"):
        servers.require_injected("some server", reviews.recorded(), answer)


def test_a_page_shows_promises_before_tables() -> None:
    kept = results.Figure(name="speed", value=2, unit="ms", least=1)
    table = results.Table(headings=("server", "answers/s"), rows=[("ours", "7")])
    result = results.Result(title="Speed", text="How fast.", tables=[table], figures=[kept])
    page = results.page([result], conditions="Here and now.", picture="it.png")
    parts = ["Here and now.", "- speed: 2 ms (target ≥ 1 ms) ok", "](it.png)", "## Speed",
             "How fast.", "| server | answers/s |\n| --- | ---: |\n| ours | 7 |"]  # fmt: skip
    places = [page.index(part) for part in parts]
    assert places == sorted(places)


def test_all_injections_whose_policy_is_measured_can_be_compiled() -> None:
    made = policy_install.compiled(policy_install.realistic("n"))
    policy_install.require_compiled(made)
    assert len(made.compiled) >= 8
    with pytest.raises(errors.WrongAnswerError, match="the compiler: answered"):
        policy_install.require_compiled(
            policy_install.compiled(policy_install.simple(policy_starts.WANTED))
        )


def test_a_policy_is_bound_to_the_namespaces_of_its_case_only() -> None:
    made = policy_install.compiled(policy_install.simple(1))
    everywhere, chosen = (policy_install.manifests(made, "x", some)[1] for some in ((), ("a", "b")))
    assert "matchResources" not in everywhere["spec"]
    (row,) = chosen["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert row["values"] == ["a", "b"]


def test_the_table_of_costs_forms_ratios_round_by_round() -> None:
    def blocks(*costs: float) -> list[policies.Block]:
        return [policies.Block(server=cost, replica=1, latency=cost) for cost in costs]

    table = policies.cost_table({"plain": blocks(1, 2), "both-one": blocks(3, 8)})
    assert table.rows[0][:3] == ("nothing", "1.50 (1\N{EN DASH}2)", "\N{EN DASH}")
    assert table.rows[1][0] == "both, 1 injection"
    assert table.rows[1][2] == "3.50 (3\N{EN DASH}4)"
    assert table.rows[1][5] == "4 (2\N{EN DASH}6)"


def test_what_a_policy_costs_for_nothing_is_the_ratio_of_the_least() -> None:
    idle = policies.Idle(injections=10, case="c", bound=[9.0, 2.2], free=[3.0, 2.0])
    (row,) = policies.idle_table([idle]).rows
    assert row[:2] == ("c", "10")
    assert row[4:] == ("1.10", "2.05 (1.10\N{EN DASH}3)")


def test_the_slowest_pod_of_all_starts_counts() -> None:
    one = policy_starts.Start(ready=3, first=-1, slowest=1.5, refused=1, bare=0, memory=2**20)
    starts = policy_starts.Starts(
        injections=2, size=9400, in_force=0.5,
        starts=[one, dataclasses.replace(one, slowest=2.5, bare=1)],
    )  # fmt: skip
    assert (starts.slowest, starts.refused, starts.bare) == (2.5, 2, 1)
    (row,) = policy_starts.table([starts]).rows
    assert row == ("2", "9", "0.50", "1", "3", "-1", "2.50", "2", "1")
