"""A cluster of somebody else is refused in one sentence before anything is created on it."""

from __future__ import annotations

import dataclasses
import http
import pathlib
import shutil
from collections.abc import Iterator

import pytest
import yaml

from tests.kits import installation as installing
from tools.controlplane import binaries, cluster, errors, foreign, ports, preflight, release

CREATED = (
    "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,"
    "mutatingwebhookconfigurations,validatingwebhookconfigurations"
)


@pytest.fixture(scope="module")
def plane(programs: binaries.Binaries) -> Iterator[cluster.ControlPlane]:
    """An API server on which nothing of ours is installed."""
    with cluster.ControlPlane(programs) as started:
        yield started


@pytest.fixture
def reached(
    plane: cluster.ControlPlane, programs: binaries.Binaries, monkeypatch: pytest.MonkeyPatch
) -> Iterator[foreign.Foreign]:
    """The same one, as one reaches a foreign cluster."""
    monkeypatch.setenv("PATH", str(programs.helm.parent), prepend=":")
    with foreign.Foreign(plane.kubeconfig) as cluster_of_others:
        yield cluster_of_others


def objects(plane: cluster.ControlPlane) -> set[str]:
    return set(plane.kubectl("get", CREATED, "--output=name").stdout.split())


def test_a_cluster_with_nothing_of_ours_passes_and_is_left_as_it_was(
    plane: cluster.ControlPlane, reached: foreign.Foreign
) -> None:
    before = objects(plane)
    preflight.Preflight(reached, preflight.image_settings("app:1")).require()
    assert objects(plane) == before


def test_namespaces_go_with_the_one_that_created_them(
    plane: cluster.ControlPlane,
) -> None:
    before = objects(plane)
    name = installing.unused_name()
    with foreign.Foreign(plane.kubeconfig) as reached:
        reached.create_namespace(name)
        assert objects(plane) == {*before, f"namespace/{name}"}
    assert objects(plane) == before


def test_a_missing_kubeconfig_is_named(tmp_path: pathlib.Path) -> None:
    with (
        pytest.raises(foreign.ForeignError, match=r"/absent is not a file; give the path"),
        foreign.Foreign(tmp_path / "absent"),
    ):
        pass


@pytest.mark.parametrize("text", ["{", "clusters: []\n"])
def test_a_file_that_leads_to_no_server_is_named(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with (
        pytest.raises(
            foreign.ForeignError, match=r"kubectl gets no answer with .*; try it"
        ) as seen,
        foreign.Foreign(path),
    ):
        pass
    assert "\n" not in str(seen.value)


def test_a_server_that_does_not_answer_is_named(
    plane: cluster.ControlPlane, tmp_path: pathlib.Path
) -> None:
    nobody = f"https://127.0.0.1:{ports.free()}"
    dataclasses.replace(plane.client, server=nobody).write_kubeconfig(tmp_path / "config")
    with (
        pytest.raises(foreign.ForeignError, match=r"no answer .*refused") as seen,
        foreign.Foreign(tmp_path / "config"),
    ):
        pass
    assert "\n" not in str(seen.value)


def test_a_user_without_rights_is_refused(
    plane: cluster.ControlPlane, tmp_path: pathlib.Path
) -> None:
    before = objects(plane)
    token = plane.kubectl("create", "token", "default").stdout.strip()
    plane.user(token).write_kubeconfig(tmp_path / "config")
    with foreign.Foreign(tmp_path / "config") as reached:
        check = preflight.Preflight(reached)
        with pytest.raises(foreign.ForeignError, match=r"cannot be listed: .*administrator"):
            check.require()
        with pytest.raises(foreign.ForeignError, match=r"may not create namespaces; use"):
            check.require_rights()
        with pytest.raises(
            foreign.ForeignError, match=r"refuses objects of the chart: .*forbidden"
        ):
            check.require_objects()
    assert objects(plane) == before


def test_a_release_that_the_chart_does_not_take_is_refused(
    plane: cluster.ControlPlane, reached: foreign.Foreign, tmp_path: pathlib.Path
) -> None:
    before = objects(plane)
    chart = tmp_path / "chart"
    shutil.copytree(release.CHART, chart)
    text = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**text, "kubeVersion": ">=1.99.0-0"}))
    with pytest.raises(foreign.ForeignError, match=r"for Kubernetes v1\.\d+.*1\.99.*compatibility"):
        preflight.Preflight(reached, chart=str(chart)).require()
    assert objects(plane) == before


@pytest.mark.parametrize("leftover", [False, True])
def test_a_cluster_with_a_release_or_its_definitions_is_refused(
    plane: cluster.ControlPlane, reached: foreign.Foreign, *, leftover: bool
) -> None:
    release.install(plane)
    try:
        if leftover:
            plane.helm("uninstall", *release.RELEASE)
        before = objects(plane)
        with pytest.raises(foreign.ForeignError, match=r"of another installation is there already"):
            preflight.Preflight(reached).require()
        assert objects(plane) == before
    finally:
        plane.helm("uninstall", *release.RELEASE, "--ignore-not-found")
        plane.kubectl("delete", "crd", *preflight.DEFINITIONS)
        plane.kubectl("delete", "namespace", release.RELEASE[-1])


def test_the_client_reaches_the_server_as_the_user_of_the_kubeconfig(
    plane: cluster.ControlPlane, reached: foreign.Foreign
) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    user = plane.client.request("POST", path, review)["status"]["userInfo"]["username"]
    assert reached.client.request("POST", path, review)["status"]["userInfo"]["username"] == user
    with pytest.raises(errors.ApiError) as seen:
        reached.client.get("/api/v1/namespaces/absent")
    assert seen.value.status == http.HTTPStatus.NOT_FOUND
