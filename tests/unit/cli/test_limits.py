"""LimitRanges and ResourceQuotas, of files and of a cluster, in what verbs say."""

from __future__ import annotations

import decimal
import json
import pathlib

import pytest

from sidecar_injector import settings
from sidecar_injector.cli.cluster import injections
from sidecar_injector.kube import api
from tests.kits import cli as kit
from tests.kits import cluster as cluster_kit
from tests.kits.samples import container, resource

FULL = {
    "apiVersion": "v1", "kind": "ResourceQuota",
    "metadata": {"name": "compute", "namespace": "demo"},
    "spec": {"hard": {"requests.cpu": "300m"}},
}  # fmt: skip
LIVE = {**FULL, "status": {"hard": {"requests.cpu": "1"}, "used": {"requests.cpu": "1m"}}}
BOUNDS = {
    "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "bounds", "namespace": "demo"},
    "spec": {"limits": [{"type": "Container", "max": {"cpu": "150m"}}]},
}  # fmt: skip
LOG = resource(template={"spec": {"containers": [
    container(resources={"requests": {"cpu": "200m"}})]}})  # fmt: skip


def web(namespace="demo"):
    manifest = kit.placed(namespace=namespace)
    manifest["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "150m"}}
    return manifest


def report(folder, pods, *, verb="inject", injections=LOG):
    form = ("--report", "json") if verb == "inject" else ("-o", "json")
    result = kit.on_files(folder, verb, pods, *form, injections=injections)
    return json.loads(result.stderr if verb == "inject" else result.stdout)


def lines(shape):
    return [
        (line["reason"], line["message"]) for each in shape["pods"] for line in each["injections"]
    ]


@pytest.mark.parametrize("verb", ["inject", "explain"])
def test_a_quota_among_the_files_counts(tmp_path, verb):
    ((reason, message),) = lines(report(tmp_path, [FULL, web()], verb=verb))
    assert reason == "ResourceQuota"
    assert message.endswith(
        ": 'compute': requests.cpu: 0 of 300m used, the pod needs 350m, 200m of it added"
    )


def test_the_documented_explanation_is_what_is_printed(tmp_path):
    page = pathlib.Path("docs/quotas.md").read_text(encoding="utf-8")
    documented = page.partition("-f quota.yaml -i injection.yaml\n")[2].partition("```")[0]
    hard = {"requests.cpu": "1"}
    quota = {**FULL, "status": {"hard": hard, "used": {"requests.cpu": "500m"}}}
    pod = web()
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "200m"}}
    log = resource(template={"spec": {"containers": [
        container(resources={"requests": {"cpu": "400m"}})]}})  # fmt: skip
    assert kit.on_files(tmp_path, "explain", [quota, pod], injections=log).stdout == documented


def test_what_the_status_of_a_quota_says_is_used(tmp_path):
    hard = {"requests.cpu": "1"}
    unused = {**FULL, "spec": {"hard": hard}}
    assert lines(report(tmp_path, [unused, web()]))[0][0] == "Injected"
    used = {**unused, "status": {"hard": hard, "used": {"requests.cpu": "700m"}}}
    assert lines(report(tmp_path, [used, web()]))[0][0] == "ResourceQuota"


def test_a_limit_range_among_the_files_counts(tmp_path):
    ((reason, message),) = lines(report(tmp_path, [web(), BOUNDS]))
    assert reason == "LimitRange"
    assert "max cpu 150m: container 'sidecar' has a request of 200m" in message


def test_an_object_counts_only_in_its_namespace_and_without_one_in_that_of_n(tmp_path):
    elsewhere = {**FULL, "metadata": {"name": "compute", "namespace": "other"}}
    assert lines(report(tmp_path, [elsewhere, web()]))[0][0] == "Injected"
    anywhere = {**FULL, "metadata": {"name": "compute"}}
    assert lines(report(tmp_path, [anywhere, web()]))[0][0] == "Injected"
    result = kit.on_files(
        tmp_path, "inject", [anywhere, web()], "--report", "json", "-n", "demo", injections=LOG
    )
    assert lines(json.loads(result.stderr))[0][0] == "ResourceQuota"


def test_a_scope_that_is_not_known_is_noted(tmp_path):
    spec = {**FULL["spec"], "scopes": ["Moonlit"]}
    shape = report(tmp_path, [{**FULL, "spec": spec}, web()])
    assert lines(shape)[0][0] == "Injected"
    (note,) = shape["notes"]
    assert note.endswith("ResourceQuota/compute is not checked: its scope 'Moonlit' is not known")


@pytest.mark.parametrize("verb", ["inject", "lint"])
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({**FULL, "spec": {"hard": {"request.cpu": "1", "cpu": "9"}}},
         "ResourceQuota/compute is checked without what is not known: hard 'request.cpu'"),
        ({**BOUNDS, "spec": {"limits": [{"type": "container", "max": {"cpu": "1m"}}]}},
         "LimitRange/bounds is checked without what is not known: type 'container'"),
        ({**BOUNDS, "spec": {"limits": [{"type": "Container", "maximum": {"cpu": "1m"}}]}},
         "LimitRange/bounds is checked without what is not known: field 'maximum'"),
    ],
)  # fmt: skip
def test_names_that_are_not_known_are_noted_once(tmp_path, verb, changed, words):
    pods = [web(), {**web(), "metadata": {"name": "other", "namespace": "demo"}}]
    file = kit.write(tmp_path, "all.yaml", [changed, *pods, *([LOG] if verb == "lint" else [])])
    result = (
        kit.run("lint", "-f", file)
        if verb == "lint"
        else kit.on_files(tmp_path, verb, [changed, *pods], injections=LOG)
    )
    (note,) = [line for line in result.stderr.splitlines() if "not known" in line]
    assert note.endswith(words)


async def limits(fake, notes, of_files=()):
    return await injections.limits(
        fake, "demo", settings=settings.Settings(), notes=notes, of_files=of_files
    )


async def test_those_of_a_cluster_count_and_those_of_files_come_first():
    fake, notes = cluster_kit.seeded(), []
    fake.seed(api.RESOURCE_QUOTAS, LIVE)
    fake.seed(api.LIMIT_RANGES, BOUNDS)
    allowed = await limits(fake, notes)
    assert allowed.quotas[0].used["requests.cpu"] == decimal.Decimal("0.001")
    assert [str(rule) for rule in allowed.limit_ranges.of_containers] == ["max cpu 150m"]
    of_file = {**LIVE, "status": {"hard": {"requests.cpu": "9"}, "used": {}}}
    allowed = await limits(fake, notes, [of_file])
    assert [each.hard["requests.cpu"] for each in allowed.quotas] == [9]
    assert notes == []


async def test_without_the_right_a_note_says_what_is_not_known():
    fake, notes = cluster_kit.seeded(), []
    fake.seed(api.RESOURCE_QUOTAS, FULL)
    fake.failures["list", "resourcequotas"] = [cluster_kit.forbidden(api.RESOURCE_QUOTAS)]
    assert await limits(fake, notes) is None
    (note,) = notes
    assert note.endswith("what the ResourceQuotas of namespace demo forbid is not known")


async def test_names_of_a_cluster_that_are_not_known_are_noted():
    fake, notes = cluster_kit.seeded(), []
    status = {"hard": {"requests.cpu": "1", "example.com/gpu": "1"}}
    fake.seed(api.RESOURCE_QUOTAS, {**FULL, "status": status})
    assert await limits(fake, notes)
    (note,) = notes
    assert note == (
        "ResourceQuota demo/compute is checked without what is not known: hard 'example.com/gpu'"
    )


@pytest.mark.parametrize(
    ("environment", "reason"),
    [({}, "ResourceQuota"), ({"QUOTAS": "Checked"}, "ResourceQuota"),
     ({"QUOTAS": "Ignored"}, "Injected")],
)  # fmt: skip
@pytest.mark.parametrize("of_files", [False, True], ids=["live", "files"])
def test_a_release_that_does_not_check_quotas_leaves_nothing_out(
    tmp_path, monkeypatch, environment, reason, of_files
):
    fake = cluster_kit.installed(**environment)
    fake.seed(api.INJECTIONS, LOG)
    fake.seed(api.RESOURCE_QUOTAS, {**FULL, "status": {"hard": FULL["spec"]["hard"]}})
    fake.seed(api.PODS, {**cluster_kit.pod(), "spec": web()["spec"]})
    fake.seed(api.SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "demo"}})
    which = ["-f", kit.write(tmp_path, "pod.yaml", [FULL, web()])] if of_files else ["pod/web"]
    with cluster_kit.served(monkeypatch, fake):
        explained = json.loads(kit.run("explain", *which, "-o", "json").stdout)
        changed = kit.run("diff", *which).stdout
    assert lines(explained)[0][0] == reason
    assert ("name: sidecar" in changed) == (reason == "Injected")
    note = "those of the files do not count"
    assert (note in str(explained["notes"])) == (of_files and reason == "Injected")


@pytest.mark.parametrize(
    ("objects", "injection", "text"),
    [
        ([BOUNDS], LOG, "pods of namespace demo: LimitRange 'bounds': max cpu 150m: container"),
        ([FULL], resource(), "requests.cpu: container 'sidecar' must set it"),
        ([FULL], resource(cluster=True), "requests.cpu: container 'sidecar' must set it"),
        ([FULL], resource(cluster=True, namespaceSelector={"matchLabels": {"a": "b"}}), ""),
        ([{**BOUNDS, "metadata": {"name": "bounds", "namespace": "other"}}], LOG, ""),
    ],
)
def test_lint_warns_of_limits_among_its_files(tmp_path, objects, injection, text):
    file = kit.write(tmp_path, "all.yaml", [*objects, injection])
    result = kit.run("lint", "-f", file, "-o", "json")
    assert result.exit_code == 0
    (shape,) = json.loads(result.stdout)["injections"]
    messages = [each["message"] for each in shape["findings"] if each["level"] == "warning"]
    found = [message for message in messages if message.startswith("pods of namespace")]
    assert len(found) == bool(text)
    assert text in "".join(found)
