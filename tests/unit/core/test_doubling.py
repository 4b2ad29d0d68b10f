"""Twice as much of anything costs about twice the time.

Each list, map and string that the schema of an injection accepts, in an injection and in a pod, is
doubled in turn. Limits of the schema, of the whole injection and of the work are taken away here:
the cost of what is within them must not depend on them. What is too short to be measured passes.
"""

from __future__ import annotations

import copy
import gc
import json
import time

import pytest

from sidecar_injector import crds, names
from sidecar_injector.core import decide
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.linting import validate
from sidecar_injector.core.merging import budget
from tests.kits.samples import NAMESPACE, container, injection, namespace_with, pod

pytestmark = pytest.mark.long

MOST = 2.5
"""Times as much processor time for twice as much."""
MEASURABLE = 0.004
"""Seconds. Less than this is not compared: a busy machine would decide."""
ROUNDS = 4
SIZE = 400
"""Items or members to begin with; a string has so many times 64 characters."""
KIND = names.CLUSTER_KIND
SPEC = crds.spec_schema(KIND)
POD_SPEC = SPEC["properties"]["template"]["properties"]["spec"]
LIMITS = {"maxItems", "maxLength", "maxProperties"}
KEYS = ("name", "key", "mountPath", "devicePath", "containerPort", "ip", "topologyKey", "path")


def unlimited(schema):
    """The schema without limits of size."""
    result = {key: value for key, value in schema.items() if key not in LIMITS}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = unlimited(result[key])
    if "properties" in result:
        result["properties"] = {
            key: unlimited(below) for key, below in result["properties"].items()
        }
    return result


def least(schema):
    """The shortest value that a schema accepts, about."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return schema["anyOf"][0]["enum"][0]
    match schema.get("type"):
        case "object" if "properties" in schema:
            required = schema.get("required", ())
            return {key: least(schema["properties"][key]) for key in required}
        case "object":
            return {}
        case "array":
            return []
        case "string":
            return "a"
        case "boolean":
            return True
    return 1


def items(schema, count):
    """So many different items of a list."""
    return [item(schema["items"], number) for number in range(count)]


def item(schema, number):
    value = least(schema)
    if isinstance(value, str) and "enum" not in schema:
        return f"a{number}"
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    for key in KEYS:
        if key in properties:
            is_text = properties[key].get("type") == "string"
            slash = "/" if key in ("mountPath", "devicePath") else ""
            value[key] = f"{slash}a{number}" if is_text else number % 60_000 + 1
    return value


def members(schema, count):
    return {f"k{number}": least(schema["additionalProperties"]) for number in range(count)}


def places(schema, path=()):
    """Each list, map and string in a schema: its path, and what makes a value of a size for it."""
    if schema.get("type") == "array":
        yield path, lambda count: items(schema, count)
        yield from places(schema["items"], (*path, 0))
    elif "additionalProperties" in schema:
        yield path, lambda count: members(schema, count)
        yield from places(schema["additionalProperties"], (*path, "k"))
    elif schema.get("type") == "string" and "enum" not in schema and "anyOf" not in schema:
        yield path, lambda count: "a" * 64 * count
    for key, below in schema.get("properties", {}).items():
        yield from places(below, (*path, key))


def placed(schema, path, value):
    """The least object that has the value at the path."""
    if not path:
        return value
    step, *rest = path
    if schema.get("type") == "array":
        below = placed(schema["items"], rest, value)
        return [{**item(schema["items"], 0), **below} if isinstance(below, dict) else below]
    if step in schema.get("properties", {}):
        return {**least(schema), step: placed(schema["properties"][step], rest, value)}
    return {"k": placed(schema["additionalProperties"], rest, value)}


def spent(work, *, rounds=ROUNDS):
    """The least processor time of a few runs."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def check(make, name):
    """`make` makes work for a number of items."""
    work, twice = make(SIZE), make(2 * SIZE)
    work()
    twice()
    if spent(twice, rounds=1) < MEASURABLE:
        return
    for _ in range(4):
        once, double = spent(work), spent(twice)
        if double < MEASURABLE or double <= MOST * once:
            return
    pytest.fail(f"{name}: {once * 1000:.1f} ms, twice as much {double * 1000:.1f} ms")


@pytest.fixture(autouse=True)
def without_limits(monkeypatch):
    monkeypatch.setattr(model, "MAX_BYTES", 10**9)
    monkeypatch.setattr(budget, "MOST", 10**9)
    gc.disable()
    yield
    gc.enable()


UNLIMITED = unlimited(SPEC)


def complete(spec):
    """A spec that can be injected: what makes it invalid would hide the rest."""
    result = copy.deepcopy(spec)
    parts = result.setdefault("template", {}).setdefault("spec", {})
    for field in ("containers", "initContainers"):
        for each in parts.get(field) or ():
            each.setdefault("image", "a:1")
    if not parts:
        parts["containers"] = [container()]
    return result


def reading(spec):
    resource = {"kind": KIND, "metadata": {"name": "x", "generation": 1}, "spec": complete(spec)}
    return model.read(resource, spec_schema=UNLIMITED)


def in_injections():
    for path, make in places(SPEC):
        yield ".".join(map(str, path)), path, make


@pytest.mark.parametrize("part", [*SPEC["properties"]])
def test_reading_and_validating_an_injection(part):
    for name, path, make in in_injections():
        if path[0] != part:
            continue

        def work(count, path=path, make=make):
            spec = placed(SPEC, path, make(count))

            def run():
                validate.validate(reading(spec))

            return run

        check(work, name)


def deciding(subject, *injections):
    request = namespace_view.PodRequest(namespace=NAMESPACE, pod=subject)
    view = namespace_with(*injections)
    return lambda: decide.decide(request, view)


MOUNT = {"name": "injected", "mountPath": "/injected"}
EVERYTHING = {
    "onConflict": "Merge",
    "applicationContainers": {
        "initContainers": "Include",
        "env": [{"name": "A", "value": "1"}],
        "envFrom": [{"configMapRef": {"name": "c"}}],
        "appendEnv": [{"name": "B", "value": "1"}],
        "volumeMounts": [MOUNT],
    },
    "inherit": {"volumeMounts": {}},
    "template": {
        "metadata": {"labels": {"x": "y"}, "annotations": {"x": "y"}},
        "spec": {
            "containers": [container(volumeMounts=[MOUNT]), container("merged")],
            "initContainers": [container("first")],
            "volumes": [{"name": "injected", "emptyDir": {}}],
            "tolerations": [{"key": "x", "operator": "Exists"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["x"]}],
            "imagePullSecrets": [{"name": "x"}],
            "topologySpreadConstraints": [
                {"topologyKey": "x", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}
            ],
        },
    },
}
"""It adds to every list, so that each of them is looked at."""


def in_pods():
    """The lists, maps and strings of a pod, each with what makes a pod of a size."""
    for path, make in places(POD_SPEC):
        name = ".".join(map(str, path))

        def subject(count, path=path, make=make):
            spec = placed(POD_SPEC, path, make(count))
            spec.setdefault("containers", [container("app")])
            return pod(**spec)

        yield name, subject
    for field in ("labels", "annotations"):
        yield field, lambda count, field=field: pod(**{field: {f"k{n}": "x" for n in range(count)}})
    yield (
        "inject",
        lambda count: pod(
            annotations={names.INJECT_ANNOTATION: ",".join(f"k{n}" for n in range(count))}
        ),
    )
    for name, make in RECORDED.items():
        yield name, lambda count, make=make: recorded(make(count))


def recorded(content):
    text = json.dumps({"version": 1, **content}, separators=(",", ":"))
    return pod(annotations={names.STATUS_ANNOTATION: text})


def entry(name="log", **fields):
    return {"injections": [{"kind": names.KIND, "name": name, **fields}]}


def records(count):
    path = "/spec/containers/app/env"
    return [{"op": "add", "path": f"{path}/{n}", "value": n} for n in range(count)]


RECORDED = {
    "recorded entries": lambda count: {"injections": [
        {"kind": names.KIND, "name": f"n{n}", "added": {"containers": [f"c{n}"]}}
        for n in range(count)]},
    "recorded skipped": lambda count: {"skipped": [
        {"kind": names.KIND, "name": f"n{n}", "reason": "x"} for n in range(count)]},
    "own records": lambda count: entry(patched=records(count)),
    "other records": lambda count: entry("other", patched=records(count)),
    "records of one path": lambda count: entry("other", patched=[
        {"op": "append", "path": "/spec/containers/app/env/A/value", "suffix": "x"}] * count),
    "recorded names": lambda count: entry(added={
        "containers": [f"c{n}" for n in range(count)], "volumes": [f"v{n}" for n in range(count)]}),
    "recorded labels": lambda count: entry(added={"labels": {f"k{n}": "x" for n in range(count)}}),
}  # fmt: skip


@pytest.mark.parametrize("half", [0, 1])
def test_deciding_about_a_pod(half):
    subject_injection = injection(**EVERYTHING)
    for name, make in list(in_pods())[half::2]:
        check(lambda count, make=make: deciding(make(count), subject_injection), name)


@pytest.mark.parametrize("field", ["env", "envFrom", "appendEnv", "volumeMounts"])
def test_deciding_about_containers_and_what_they_receive(field):
    schema = SPEC["properties"]["applicationContainers"]["properties"][field]
    values = items(schema, 40)
    if field == "volumeMounts":
        values = [{**value, "name": "v"} for value in values]
    subject = injection(
        template={"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
        applicationContainers={field: values},
    )
    check(
        lambda count: deciding(
            pod(containers=[container(f"c{n}") for n in range(count // 10)]), subject
        ),
        f"containers that receive {field}",
    )


def test_deciding_about_many_injections_that_add_something():
    def work(count):
        return deciding(pod(), *[
            injection(
                f"n{n}",
                applicationContainers={"env": [{"name": f"E{n}", "value": "x"}]},
                template={"spec": {"containers": [container(f"c{n}")]}},
            )
            for n in range(count // 10)
        ])  # fmt: skip

    check(work, "injections")


def test_validating_beside_many_others():
    def work(count):
        others = [injection(f"n{n}", **EVERYTHING) for n in range(count // 10)]
        subject = injection("x", **EVERYTHING)
        return lambda: validate.validate(subject, others=others)

    check(work, "others")
