"""What a node is made of, as far as that can be seen without one."""

from __future__ import annotations

import pathlib
import tempfile
import tomllib

import pytest

from tools.controlplane import binaries as controlplane_binaries
from tools.controlplane import components
from tools.node import binaries, cgroups, conditions, errors, files, leftovers, recipes
from tools.node import components as node_components

V1 = """\
30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup none rw,memory
32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
FOLDER = pathlib.Path("/run-folder")


@pytest.fixture
def programs() -> binaries.Programs:
    path = pathlib.Path("/programs/kube-apiserver")
    controlplane = controlplane_binaries.Binaries(
        etcd=path, apiserver=path, controller_manager=path, kubectl=path, helm=path
    )
    return binaries.Programs(controlplane=controlplane, folder=pathlib.Path("/node-programs"))


@pytest.fixture
def layout() -> components.Layout:
    return components.Layout(folder=FOLDER, data=FOLDER, etcd_port=1, peer_port=2, api_port=3)


def test_controllers_are_found_where_they_are_mounted() -> None:
    hierarchies = cgroups.hierarchies(V1)
    assert (
        hierarchies["cpu"] == hierarchies["cpuacct"] == pathlib.Path("/sys/fs/cgroup/cpu,cpuacct")
    )
    assert hierarchies["memory"] == pathlib.Path("/sys/fs/cgroup/memory")
    assert hierarchies["systemd"] == pathlib.Path("/sys/fs/cgroup/systemd")
    assert hierarchies[cgroups.UNIFIED] == pathlib.Path("/sys/fs/cgroup/unified")
    assert not {"rw", "ro"} & set(hierarchies)


@pytest.fixture
def unified(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The root of version 2, where a machine has it.

    As https://docs.kernel.org/admin-guide/cgroup-v2.html says.
    """
    top = tmp_path / "cgroup"
    top.mkdir()
    (top / cgroups.CONTROLLERS).write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    (top / cgroups.ENABLED).write_text("memory pids\n")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"33 25 0:29 / {top} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n")
    monkeypatch.setattr(cgroups, "MOUNTS", mounts)
    monkeypatch.setattr(cgroups, "TOP", top)
    return top


def test_version_2_is_one_hierarchy_for_all_controllers(unified: pathlib.Path) -> None:
    hierarchies = cgroups.required()
    assert hierarchies.version == 2
    assert set(hierarchies.folders.values()) == {unified}
    assert set(hierarchies.folders) >= {"cpu", "cpuset", "memory", "pids", cgroups.UNIFIED}


def test_version_2_beside_version_1_is_not_used(
    unified: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "TOP", tmp_path)
    options = ",".join(sorted(cgroups.V1))
    line = f"30 25 0:26 / {tmp_path}/all rw - cgroup cgroup rw,{options}\n"
    cgroups.MOUNTS.write_text(f"{line}{cgroups.MOUNTS.read_text()}")
    hierarchies = cgroups.required()
    assert hierarchies.version == 1
    assert hierarchies.folders["memory"] == tmp_path / "all"


def test_a_controller_that_version_2_lacks_is_named(unified: pathlib.Path) -> None:
    (unified / cgroups.CONTROLLERS).write_text("cpu memory pids\n")
    with pytest.raises(
        errors.ConditionError, match=r"version 2 .*found: no cpuset in .*; delegate"
    ):
        cgroups.required()


def test_what_needs_version_1_says_so_on_version_2(unified: pathlib.Path) -> None:
    with pytest.raises(errors.ConditionError, match=r"needs cgroup version 1, .*version 2 at"):
        cgroups.required(versions=(1,))


def test_a_parent_in_version_2_gets_the_controllers_that_are_not_handed_down_yet(
    unified: pathlib.Path,
) -> None:
    parent = cgroups.Parent(name="node", hierarchies=cgroups.required())
    parent.create()
    assert parent.folders == [unified / "node"]
    assert (unified / cgroups.ENABLED).read_text() == "+cpu +cpuset"
    (unified / "node" / "kubepods").mkdir()
    parent.remove()
    assert not (unified / "node").exists()


def test_nothing_is_written_when_version_2_hands_all_controllers_down(
    unified: pathlib.Path,
) -> None:
    enabled = unified / cgroups.ENABLED
    enabled.write_text("cpuset cpu io memory pids\n")
    cgroups.Parent(name="node", hierarchies=cgroups.required()).create()
    assert enabled.read_text() == "cpuset cpu io memory pids\n"


def test_a_container_is_counted_as_version_2_documents_it(unified: pathlib.Path) -> None:
    parent = cgroups.Parent(name="node", hierarchies=cgroups.required())
    folder = unified / "node" / "kubepods" / "burstable" / "poduid" / "id"
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text("7\n8\n")
    (folder / "memory.current").write_text("5000\n")
    (folder / "memory.stat").write_text("anon 3000\ninactive_file 1500\nactive_file 500\n")
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\n")
    group = parent.container(pod="uid", container="id")
    assert group.processes() == [7, 8]
    assert group.memory() == 3500
    assert group.cpu_seconds() == 2.5
    with pytest.raises(LookupError, match="container other of pod uid"):
        parent.container(pod="uid", container="other")


@pytest.mark.parametrize(
    ("platform", "user", "missing"), [("darwin", 0, "Linux"), ("linux", 1000, "root")]
)
def test_a_machine_that_cannot_run_it_gets_the_reason(
    platform: str, user: int, missing: str
) -> None:
    with pytest.raises(errors.ConditionError, match=f"a node needs {missing}"):
        conditions.require_machine(platform=platform, user=user)


def test_a_full_disk_is_reported_before_anything_starts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "MEBIBYTES", 10**9)
    with pytest.raises(errors.ConditionError, match=r"MiB of disk.*set TMPDIR"):
        conditions.require_space(tmp_path)


def test_an_image_that_finds_the_disk_full_does_not_blame_the_archive() -> None:
    archive = pathlib.Path("image.tar")
    full = str(errors.ImageError(archive=archive, reason="write x: No space left on device"))
    assert full.endswith("free some, or set TMPDIR to a larger disk")
    assert str(errors.ImageError(archive=archive, reason="no tar")).endswith("it is made anew")


def test_only_what_carries_our_mark_and_has_no_owner_is_cleaned(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, dead = leftovers.Data(), leftovers.Data()
    dead._mark.close()  # as the kernel does when its owner is killed
    strange = tmp_path / f"{leftovers.PREFIX}of-somebody-else"
    strange.mkdir()
    assert leftovers.clean(cgroups.Hierarchies(version=1, folders={})) == [dead.folder.name]
    assert sorted(tmp_path.iterdir()) == sorted([living.folder, strange])
    living.remove()


def test_no_flag_of_the_api_server_is_given_twice(
    programs: binaries.Programs, layout: components.Layout
) -> None:
    flags = [word.partition("=")[0] for word in node_components.apiserver(programs, layout)]
    assert len(flags) == len(set(flags))
    assert "--authorization-mode=Node,RBAC" in node_components.apiserver(programs, layout)


def test_containerds_file_is_toml_with_its_own_places_only(programs: binaries.Programs) -> None:
    parsed = tomllib.loads(files.containerd(FOLDER, plugins=programs.plugins))
    assert parsed["version"] == 4
    assert parsed["root"].startswith(files.DATA)
    runtime = parsed["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["cni"]["conf_dir"] == str(FOLDER / files.NETWORK)
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False


def test_the_cache_is_named_by_what_is_built() -> None:
    assert recipes.key().startswith("containerd2.")
    assert {recipe.name for recipe in recipes.all_recipes()} == {*recipes.PACKAGES, recipes.HELPER}


def test_a_missing_program_is_named_with_its_remedy(tmp_path: pathlib.Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    with pytest.raises(errors.errors.BuildError, match=r"containerd: .*run `make node` first"):
        binaries.cached(environment)
