"""Every reason code that a call can reach, produced through the real webhook: the log, the metric,
the command line and, where its author should act, the pod or the warning carry the same code."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import Any

import pytest
import yaml

from sidecar_injector import names
from sidecar_injector.core import remedies
from sidecar_injector.core.reasons import Level, Reason
from tests.kits import product as kit
from tests.kits import samples

INJECT = names.INJECT_ANNOTATION
MOUNT = {"name": "v", "mountPath": "/v"}
EMPTY = {"name": "v", "emptyDir": {}}
NEEDS_CLUSTER = {Reason.MISSING_SERVICE_ACCOUNT}
"""What a file cannot tell."""


def template(**fields: Any) -> kit.Json:
    """A template of one container with these fields."""
    return {"spec": {"containers": [{"name": "sidecar", "image": "sidecar:1", **fields}]}}


def mounting(**fields: Any) -> kit.Json:
    spec = template(volumeMounts=[MOUNT], **fields)
    spec["spec"]["volumes"] = [EMPTY]
    return spec


def asking(word: str, **spec: Any) -> kit.Json:
    return kit.with_metadata(kit.pod(**spec), annotations={INJECT: word})


def own(**fields: Any) -> list[kit.Json]:
    """The pod's containers: `app` with these fields."""
    return [{"name": "app", "image": "app:1", **fields}]


PARAMETER = {"name": "p", "from": {"podAnnotation": "p"}, "enum": ["a"]}
CASES: dict[Reason, tuple[kit.Json, kit.Json]] = {
    Reason.POD_ANNOTATION_DISABLED: ({}, asking("no")),
    Reason.SELECTOR_MISMATCH: ({"selector": {"matchLabels": {"a": "b"}}}, kit.pod()),
    Reason.NOT_REQUESTED: ({"activation": "OnRequest"}, kit.pod()),
    Reason.NOT_LISTED: ({}, asking("only: another")),
    Reason.SUSPENDED: ({"suspend": True}, kit.pod()),
    Reason.HOST_NETWORK: ({}, kit.pod(hostNetwork=True)),
    Reason.OPERATING_SYSTEM: ({}, kit.pod(nodeSelector={"kubernetes.io/os": "windows"})),
    Reason.CONTAINER_CONFLICT: ({}, kit.pod(initContainers=[{"name": "sidecar", "image": "x:1"}])),
    Reason.VOLUME_CONFLICT: (
        {"template": mounting()},
        kit.pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
    ),
    Reason.MOUNT_PATH_CONFLICT: (
        {"template": mounting(), "applicationContainers": {"volumeMounts": [MOUNT]}},
        kit.pod(
            containers=own(volumeMounts=[{"name": "w", "mountPath": "/v/"}]),
            volumes=[{"name": "w", "emptyDir": {}}],
        ),
    ),
    Reason.ENV_CONFLICT: (
        {"applicationContainers": {"appendEnv": [{"name": "A", "value": "a"}]}},
        kit.pod(
            containers=own(
                env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
            )
        ),
    ),
    Reason.PORT_CONFLICT: (
        {"hostNetworkPods": "Inject", "template": template(ports=[{"containerPort": 80}])},
        kit.pod(hostNetwork=True, containers=own(ports=[{"containerPort": 80}])),
    ),
    Reason.MISSING_VOLUME: ({"template": template(volumeMounts=[MOUNT])}, kit.pod()),
    Reason.MISSING_SERVICE_ACCOUNT: (
        {"template": {"spec": {"serviceAccountName": "nobody"}}},
        kit.pod(),
    ),
    Reason.MISSING_VALUE: ({"parameters": [PARAMETER]}, kit.pod()),
    Reason.INVALID_VALUE: (
        {"parameters": [PARAMETER]},
        kit.with_metadata(kit.pod(), annotations={"p": "b"}),
    ),
    Reason.TOO_MUCH_WORK: (
        {"applicationContainers": {"env": [{"name": f"E{n}", "value": "x"} for n in range(500)]}},
        kit.pod(containers=[{"name": f"c{n}", "image": "app:1"} for n in range(30)]),
    ),
    Reason.POD_SECURITY: ({"template": template(securityContext={"privileged": True})}, kit.pod()),
    Reason.LIMIT_RANGE: (
        {"template": template(resources={"limits": {"cpu": "2"}})},
        kit.pod(),
    ),
    Reason.RESOURCE_QUOTA: (
        {"template": template(resources={"limits": {"cpu": "2"}})},
        kit.pod(containers=own(resources={"limits": {"cpu": "100m"}})),
    ),
    Reason.POD_WOULD_BE_INVALID: (
        {"operatingSystem": "Any", "template": {"spec": {"shareProcessNamespace": True}}},
        kit.pod(os={"name": "windows"}),
    ),
    Reason.INJECTED: ({}, kit.pod()),
    Reason.ALREADY_INJECTED: (
        {},
        kit.pod(containers=[*own(), {"name": "sidecar", "image": "sidecar:1"}]),
    ),
    Reason.OUTDATED: (
        {},
        kit.with_metadata(
            kit.pod(containers=[*own(), {"name": "sidecar", "image": "sidecar:0"}]),
            annotations={
                names.STATUS_ANNOTATION: json.dumps(
                    {
                        "injections": [
                            {
                                "kind": names.KIND,
                                "name": "proxy",
                                "hash": "0" * 16,
                                "added": {"containers": ["sidecar"]},
                            }
                        ],
                        "version": 1,
                    }
                )
            },
        ),
    ),
    Reason.DRY_RUN: ({"dryRun": True}, kit.pod()),
    Reason.UNKNOWN_INJECTION: ({}, asking("proxy,ghost")),
    Reason.INVALID_ANNOTATION: ({}, asking("yes,proxy")),
    Reason.UNKNOWN_ANNOTATION: (
        {},
        kit.with_metadata(kit.pod(), annotations={f"{names.GROUP}/injekt": "proxy"}),
    ),
    Reason.MISPLACED_ANNOTATION: ({}, kit.with_metadata(kit.pod(), labels={INJECT: "proxy"})),
    Reason.UNKNOWN_LABEL_VALUE: (
        {},
        kit.with_metadata(kit.pod(), labels={names.INJECTION_LABEL: "false"}),
    ),
    Reason.MISPLACED_LABEL: (
        {},
        kit.with_metadata(kit.pod(), annotations={names.INJECTION_LABEL: "disabled"}),
    ),
}
OBJECTS: dict[Reason, kit.Json] = {
    Reason.LIMIT_RANGE: {
        "kind": "LimitRange", "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]},
    },
    Reason.RESOURCE_QUOTA: {"kind": "ResourceQuota", "spec": {"hard": {"limits.cpu": "1"}}},
}  # fmt: skip
"""What the namespace must have besides."""
ELSEWHERE = {
    # With two injections, the cluster kind, or one that no longer would be accepted: below, and in
    # the tests of conditions and of the webhook's scope.
    Reason.INJECTION_CONFLICT,
    Reason.OPTED_OUT,
    Reason.NAMESPACE_SELECTOR_MISMATCH,
    Reason.INVALID,
    # The API server does not even call: the unit tests and the demo ask the command line.
    Reason.NAMESPACE_NOT_ENABLED,
    Reason.NAMESPACE_EXCLUDED,
    Reason.POD_LABEL_DISABLED,
    Reason.MIRROR_POD,
    Reason.OWN_POD,
    Reason.NOT_A_CREATE,
    # On namespaces only: the audit's Events.
    Reason.UNKNOWN_LABEL,
}


def test_every_reason_has_its_case() -> None:
    assert set(CASES) | ELSEWHERE == set(Reason)
    assert not set(CASES) & ELSEWHERE


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.value)
def test_a_reason_is_the_same_everywhere(product, tmp_path, reason) -> None:
    spec, pod = CASES[reason]
    namespace = f"reason-{reason.value.lower()}"
    labels = {names.INJECTION_LABEL: names.ENABLED}
    labels |= {names.POD_SECURITY_ENFORCE_LABEL: "baseline"} if is_secured(reason) else {}
    product.plane.create_namespace(namespace, labels=labels)
    product.plane.wait_for_service_account(namespace)
    injection = kit.injection(**spec)
    product.create_injection(namespace, injection)
    files = {"pod": pod, "injection": injection}
    if reason in OBJECTS:
        head = {"apiVersion": "v1", "metadata": {"name": "limits", "namespace": namespace}}
        files["limits"] = {**head, **OBJECTS[reason]}
        path = f"/api/v1/namespaces/{namespace}/{OBJECTS[reason]['kind'].lower()}s"
        product.plane.client.request("POST", path, files["limits"])
        product.plane.wait(
            f"the replicas know a {OBJECTS[reason]['kind']}",
            lambda: all(
                reason.value in json.dumps(product.ask(replica, namespace, pod))
                for replica in product.replicas
            ),
        )
    if reason is Reason.MISSING_SERVICE_ACCOUNT:
        # Only now do the replicas begin to listen to ServiceAccounts.
        product.plane.wait(
            "the replicas know ServiceAccounts",
            lambda: (
                product.counted("sidecar_injector_cache_synced", resource="serviceaccounts")
                == len(product.replicas)
            ),
        )

    before = product.counted("sidecar_injector_decisions_total", reason=reason.value)
    created = product.create_pod(namespace, pod, dry_run=True)
    # Dry runs are not counted.
    answer = product.ask(product.replicas[0], namespace, pod, dry_run=False)
    check_seen(product, namespace, reason)
    assert product.counted("sidecar_injector_decisions_total", reason=reason.value) >= before + 1
    check_pod_and_warning(created, answer, reason)
    if reason not in NEEDS_CLUSTER:
        paths = write(tmp_path, **files)
        assert reason.value in explained(*paths, namespace=namespace, labels=labels)


def test_of_two_injections_with_one_container_name_the_later_is_skipped(
    product, enabled_namespace
) -> None:
    for name, image in (("a", "a:1"), ("b", "b:1")):
        resource = kit.injection(name, template=template(image=image))
        product.create_injection(enabled_namespace, resource)
    created = product.create_pod(enabled_namespace, kit.pod(), dry_run=True)
    check_seen(product, enabled_namespace, Reason.INJECTION_CONFLICT)
    assert skipped(created) == ["InjectionConflict"]


def test_a_cluster_injection_of_other_namespaces_says_so(product, enabled_namespace) -> None:
    selector = {"matchLabels": {"no-such": "namespace"}}
    body = kit.injection("elsewhere", kind=names.CLUSTER_KIND, namespaceSelector=selector)
    path = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"
    product.plane.client.request("POST", path, body)
    try:
        product.wait_known(enabled_namespace, "elsewhere")
        product.create_pod(enabled_namespace, kit.pod(), dry_run=True)
        check_seen(product, enabled_namespace, Reason.NAMESPACE_SELECTOR_MISMATCH)
    finally:
        product.plane.client.request("DELETE", f"{path}/elsewhere")


def is_secured(reason: Reason) -> bool:
    return reason is Reason.POD_SECURITY


def check_seen(product, namespace: str, reason: Reason) -> None:
    """The log has a line for this namespace that carries the code."""

    def logged() -> bool:
        return any(
            reason.value in line.get("reasons", ())
            for line in product.log()
            if line.get("namespace") == namespace
        )

    product.plane.wait(f"the log says {reason.value}", logged)


def check_pod_and_warning(created: kit.Json, answer: kit.Json, reason: Reason) -> None:
    warnings = " ".join(answer.get("warnings") or ())
    if reason.level is Level.FIT:
        assert skipped(created) == [reason.value]
    if reason.level is Level.FIT:
        assert reason.remedy in warnings
    elif reason.level is Level.ANNOTATION:
        assert reason.value in warnings
    else:
        assert warnings == "" or reason is Reason.NOT_LISTED


def skipped(pod: kit.Json) -> list[str]:
    text = pod["metadata"]["annotations"][names.STATUS_ANNOTATION]
    return [line["reason"] for line in json.loads(text)["skipped"]]


def write(folder, **documents: kit.Json) -> list[str]:
    files = []
    for name, content in documents.items():
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content))
        files.append(str(file))
    return files


def explained(
    pod: str, injection: str, *others: str, namespace: str, labels: dict[str, str]
) -> str:
    pairs = ",".join(f"{key}={value}" for key, value in labels.items())
    command = [sys.executable, "-m", "sidecar_injector", "explain", "-f", pod, "-i", injection]
    command += [word for other in others for word in ("-f", other)]
    command += ["-n", namespace, "--namespace-labels", pairs, "-o", "json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr
    return ran.stdout


def test_every_command_that_is_advised_is_accepted(product, enabled_namespace) -> None:
    """Commands that change something are run as a dry run, where kubectl has one."""
    product.created_by(enabled_namespace, kit.workload("Deployment"))
    product.create_injection(enabled_namespace, kit.injection(suspend=True))
    path = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"
    product.plane.client.request("POST", path, kit.injection(kind=names.CLUSTER_KIND))
    subject = remedies.Subject(namespace=enabled_namespace, kind="Deployment", name="work")
    advised = {
        remedies.of(reason, subject, samples.injection("proxy", cluster=cluster)).command
        for reason in Reason
        for cluster in (False, True)
    } - {""}
    assert len(advised) >= 10
    try:
        for command in advised:
            program, *words = shlex.split(command.replace("-n demo", f"-n {enabled_namespace}"))
            assert program == "kubectl"
            dry_run = ["--dry-run=server"] if words[0] in ("patch", "label") else []
            product.plane.kubectl(*words, *dry_run)
    finally:
        product.plane.client.request("DELETE", f"{path}/proxy")
