"""Least rights: what the chart grants, to whom, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sidecar_injector import names, settings
from sidecar_injector.cli.checks import rights
from sidecar_injector.cli.cluster import errors

Render = Callable[..., Any]

FULLNAME = "blue-sidecar-injector"
MODES: dict[str, dict[str, Any]] = {
    "selfSigned": {},
    "certManager": {"certificates": {"mode": "certManager", "issuerRef": {"name": "ca"}}},
    "provided": {"certificates": {"mode": "provided", "secretName": "mine"}},
    "policies": {"policies": {"managed": True}},
}
NAMED = {
    "secrets",
    "leases",
    "deployments",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
}
"""What is reached by name only: a right on all of these would be a right over the cluster."""


@pytest.fixture(params=list(MODES.values()), ids=list(MODES))
def granted(request: pytest.FixtureRequest, render: Render) -> list[dict[str, Any]]:
    return _rules(render(request.param, release="blue"))


def test_nothing_is_granted_by_wildcard(granted: list[dict[str, Any]]) -> None:
    assert not any(
        "*" in rule[key] for rule in granted for key in ("apiGroups", "resources", "verbs")
    )


def test_sensitive_objects_are_granted_by_name_only(granted: list[dict[str, Any]]) -> None:
    for resource, verb, limited_to in _grants(granted):
        if resource in NAMED and verb != "create":
            assert limited_to, f"{verb} {resource}"


def test_secrets_are_never_granted_in_the_whole_cluster(render: Render) -> None:
    for role in render(release="blue").all("ClusterRole"):
        assert not any("secrets" in rule["resources"] for rule in role["rules"])


def test_the_operator_may_write_the_secret_and_the_bundle_that_it_makes(render: Render) -> None:
    grants = set(_grants(_rules(render(release="blue"))))

    secret = names.secret_name(FULLNAME)
    assert ("secrets", "create", "") in grants
    assert {("secrets", verb, secret) for verb in ("get", "list", "watch", "update")} <= grants
    assert ("mutatingwebhookconfigurations", "patch", FULLNAME) in grants
    assert ("validatingwebhookconfigurations", "patch", FULLNAME) in grants


@pytest.mark.parametrize("mode", list(MODES))
def test_check_asks_for_every_right_that_is_granted_and_for_no_other(
    mode: str, render: Render
) -> None:
    rendered = render(MODES[mode], release="blue")
    env = rendered.operator()["env"]
    variables = {each["name"]: each["value"] for each in env if "value" in each}
    checked = rights.needed(settings.Settings.from_environment(variables))
    granted = _grants(_rules(rendered))

    assert sorted((right.resource, right.verb, right.name) for right in checked) == sorted(granted)


@pytest.mark.parametrize("enabled", [True, False])
def test_quotas_are_read_unless_a_value_says_no(enabled: bool, render: Render) -> None:
    rendered = render({"quotas": {"enabled": enabled}}, release="blue")
    read = {
        (resource, verb)
        for resource, verb, _ in _grants(_rules(rendered))
        if resource in rights.QUOTAS
    }
    (container,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}

    assert len(read) == (4 if enabled else 0)
    assert variables["SIDECAR_INJECTOR_QUOTAS"] == ("Checked" if enabled else "Ignored")
    checked = rights.needed(settings.Settings(quotas=variables["SIDECAR_INJECTOR_QUOTAS"]))
    assert {(right.resource, right.verb) for right in checked} >= read
    assert enabled or not {right.resource for right in checked} & set(rights.QUOTAS)


@pytest.mark.parametrize(
    ("mode", "reads"), [("certManager", {"list", "watch"}), ("provided", {"get", "list", "watch"})]
)
def test_a_secret_that_we_do_not_make_is_only_read(
    mode: str, reads: set[str], render: Render
) -> None:
    verbs = {
        verb
        for resource, verb, _ in _grants(_rules(render(MODES[mode], release="blue")))
        if resource == "secrets"
    }

    assert verbs == reads


def test_the_bundle_is_left_to_cert_manager_where_that_injects_it(render: Render) -> None:
    grants = set(_grants(_rules(render(MODES["certManager"], release="blue"))))

    assert ("mutatingwebhookconfigurations", "watch", FULLNAME) in grants
    assert ("mutatingwebhookconfigurations", "patch", FULLNAME) not in grants


def test_the_lease_is_granted_by_the_name_that_the_operator_uses(
    granted: list[dict[str, Any]],
) -> None:
    assert ("leases", "update", names.lease_name(FULLNAME)) in set(_grants(granted))


def test_injections_are_read_and_only_their_status_is_written(
    granted: list[dict[str, Any]],
) -> None:
    for plural in (names.PLURAL, names.CLUSTER_PLURAL):
        verbs = {verb for resource, verb, _ in _grants(granted) if resource == plural}
        assert verbs == {"list", "watch"}
        assert (f"{plural}/status", "patch", "") in set(_grants(granted))


def test_everything_is_bound_to_the_account_of_the_pods(render: Render) -> None:
    rendered = render({"serviceAccount": {"name": "injector"}}, namespace="injection")
    account = rendered.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]

    assert account == rendered.one("ServiceAccount")["metadata"]["name"] == "injector"
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        assert rendered.one(kind, name="sidecar-injector")["subjects"] == [
            {"kind": "ServiceAccount", "name": "injector", "namespace": "injection"}
        ]


def test_editors_of_a_namespace_may_edit_only_the_namespaced_kind(render: Render) -> None:
    edit = render().one("ClusterRole", name="sidecar-injector-edit")
    view = render().one("ClusterRole", name="sidecar-injector-view")

    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert [rule["resources"] for rule in edit["rules"]] == [[names.PLURAL]]
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert view["rules"][0]["resources"] == [names.PLURAL, names.CLUSTER_PLURAL]
    assert view["rules"][0]["verbs"] == ["get", "list", "watch"]


def test_every_authenticated_user_may_read_the_cluster_kind_and_nothing_else(
    render: Render,
) -> None:
    rendered = render(release="blue")
    name = f"{FULLNAME}-read"
    binding = rendered.one("ClusterRoleBinding", name=name)
    assert binding["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
    ]
    assert binding["roleRef"]["name"] == name
    assert set(_grants(rendered.one("ClusterRole", name=name)["rules"])) == {
        (names.CLUSTER_PLURAL, verb, "") for verb in ("get", "list", "watch")
    }
    without = render({"rbac": {"authenticatedRead": False}}, release="blue")
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        assert name not in {item["metadata"]["name"] for item in without.all(kind)}


def test_the_role_of_the_command_line_is_bound_to_nobody_and_only_reads(render: Render) -> None:
    rendered = render()
    grants = set(_grants(rendered.one("ClusterRole", name=errors.CLI_ROLE)["rules"]))
    assert {verb for resource, verb, _ in grants if resource != "subjectaccessreviews"} <= {
        "get", "list", "watch",
    }  # fmt: skip
    assert "secrets" not in {resource for resource, _, _ in grants}
    contained = {
        (group, resource): frozenset(rule["verbs"])
        for rule in rendered.one("ClusterRole", name=errors.CLI_ROLE)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert contained == errors.CLI_RIGHTS, "a remedy names this role for these rights alone"
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        assert errors.CLI_ROLE not in {item["roleRef"]["name"] for item in rendered.all(kind)}


def _rules(rendered: Any) -> list[dict[str, Any]]:
    """The operator's own rules, in its namespace and in the cluster."""
    role = rendered.one("Role", name=FULLNAME)
    cluster_role = rendered.one("ClusterRole", name=FULLNAME)
    return [*role["rules"], *cluster_role["rules"]]


def _grants(rules: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for rule in rules:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", [""]):
                    yield resource, verb, name
