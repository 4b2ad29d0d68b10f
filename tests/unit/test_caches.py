"""What outlives a request in memory is bounded, and not by the texts of requests."""

from __future__ import annotations

import ast
import pathlib
import tracemalloc

import sidecar_injector
from sidecar_injector.core import patch
from sidecar_injector.core.pods import amounts
from sidecar_injector.core.validity import resources
from tests.kits.admission import Server
from tests.kits.samples import container, pod, resource

PACKAGE = pathlib.Path(sidecar_injector.__file__).parent
CACHING = {"lru_cache", "cache"}
ACCEPTED = {
    "core/impact.py": "the namespaces of one plan",
    "core/injections/parameters.py": "16 patterns of injections, of at most 256 characters",
    "core/pods/api_fields.py": "paths of the lists that we know",
    "core/validity/container.py": "template's container; the key is small numbers and known words",
    "core/pods/amounts.py": "quantities of at most 16 characters",
    "crds/__init__.py": "our two kinds",
    "httpserver/messages.py": "status, type and connection header of our own answers",
    "observability/logs.py": "the current second",
}
"""The files that may cache the results of a function, with what they are keyed by."""
LONG = 240_000
"""Characters of a name: nobody has validated a pod when the webhook sees it."""


def caches(path):
    """Whether a file names a decorator of functools that keeps results."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
             and isinstance(node.value, ast.Name) and node.value.id == "functools"}  # fmt: skip
    names |= {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "functools"
        for alias in node.names
    }
    return bool(names & CACHING)


def test_results_are_cached_only_where_the_keys_are_known_to_be_few_and_short():
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if caches(path)}

    assert found == set(ACCEPTED)


def subjects(number):
    """Pods with a long text in each place that a cache might be keyed by."""
    text = f"{number}{'x' * LONG}"
    yield pod(containers=[container(text, env=[{"name": text, "value": text}])])
    yield pod(containers=[container("app", volumeMounts=[{"name": "v", "mountPath": text}])])
    yield pod(containers=[container("app", resources={"limits": {text: text, "cpu": text}})])
    yield pod(restartPolicy=text, os={"name": text}, terminationGracePeriodSeconds=number)
    yield pod(labels={text: text}, annotations={"sidecar-injector.dev/inject": text})


def test_memory_stays_flat_over_pods_with_long_texts():
    everything = {
        "applicationContainers": {
            "env": [{"name": "A", "value": "1"}],
            "volumeMounts": [{"name": "v", "mountPath": "/injected"}],
            "appendEnv": [{"name": "B", "value": "1"}],
        },
        "inherit": {"volumeMounts": {}},
        "template": {"spec": {"containers": [container()], "volumes": [
            {"name": "v", "emptyDir": {}}]}},
    }  # fmt: skip
    server = Server(resource(**everything))

    def answer(numbers):
        for number in numbers:
            for subject in subjects(number):
                server.response(subject)
            server.decided.clear()

    answer(range(5))
    tracemalloc.start()
    answer(range(5, 35))
    before, _ = tracemalloc.get_traced_memory()
    answer(range(35, 65))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert after - before < 10 * LONG, "a few of these texts more are kept after each hundred pods"


def test_short_pointers_are_cached_up_to_a_number():
    for number in range(5000):
        patch.pointer(("spec", f"c{number}"))
        patch.pointer(("spec", f"{number}{'x' * 200}"))

    assert len(patch._CACHED) <= 1024
    assert all(len(text) <= 128 for text in patch._CACHED.values())


def test_long_quantities_are_not_cached():
    amounts._parse.cache_clear()
    limits = {"limits": {"cpu": f"1{'0' * 40}", "memory": "1Gi"}}

    list(resources.problems(limits, claims=()))

    assert amounts._parse.cache_info().currsize == 1
