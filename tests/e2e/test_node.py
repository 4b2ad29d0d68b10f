"""The node itself: nothing of the machine is changed by it, and nothing of it is left."""

import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from tests.kits import e2e as kit
from tools.controlplane import ports, waiting
from tools.node import binaries, cgroups, errors, images, leftovers, node

pytestmark = pytest.mark.own_node("starts and ends nodes of its own")

FOLDERS = ("/etc/cni", "/opt", "/opt/cni", "/run", "/run/netns", "/var/lib", "/var/log", "/var/run")
SYSCTLS = (
    *("kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic"),
    *("kernel/panic_on_oops", "net/ipv4/ip_forward", "vm/overcommit_memory", "vm/panic_on_oom"),
)
KILLED = """
import sys
from tools.node import binaries, node
running = node.Node(binaries.cached()).__enter__()
print(running.cgroups.name, running.space.first, flush=True)
sys.stdin.read()
"""
"""Python: a node whose owner is killed."""
BUSY = "while True: pass"


def listed(folder: str) -> list[str]:
    path = pathlib.Path(folder)
    return sorted(entry.name for entry in path.iterdir()) if path.exists() else []


def machine() -> dict[str, object]:
    """What a node could change, as far as nobody else changes it all the time."""
    folders = {name: listed(name) for name in FOLDERS}
    return {
        "folders": folders,
        "links": listed("/sys/class/net"),
        "mounts": [line.split()[4] for line in cgroups.MOUNTS.read_text("utf-8").splitlines()],
        "rules": subprocess.check_output(["nft", "list", "ruleset"], text=True),
        "sysctls": {name: pathlib.Path("/proc/sys", name).read_text("ascii") for name in SYSCTLS},
    }


def groups(name: str) -> list[pathlib.Path]:
    """The control groups of one node; another one may be up."""
    parent = cgroups.Parent(name=name, hierarchies=cgroups.required())
    return [folder for folder in parent.folders if folder.exists()]


def test_the_machine_is_as_before_when_a_node_has_gone(tmp_path: pathlib.Path) -> None:
    before = machine()
    with node.Node(binaries.cached(), folder=tmp_path) as running:
        assert running.run("sysctl", "-n", "vm.overcommit_memory").stdout.strip() == "1"
        assert "cni0" not in machine()["links"]
        assert groups(running.cgroups.name)
        running.kubectl("run", "one", f"--image={images.HELPER}", "--image-pull-policy=Never")
        running.kubectl("wait", "pod/one", "--for=condition=Ready", f"--timeout={kit.SECONDS}s")
        data, first = running._data.folder, running.space.first
    assert machine() == before
    assert not groups(running.cgroups.name)
    assert not data.exists()
    assert not pathlib.Path(f"/proc/{first}").exists()
    assert [process.name for process in running.processes_inside() if process.running] == []


def test_what_a_killed_run_left_is_found_and_removed() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        name, first = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)
    hierarchies = cgroups.required()
    waiting.until(
        lambda: not pathlib.Path(f"/proc/{first}").exists(), what="the namespaces have ended"
    )
    assert (hierarchies.folders["memory"] / name).exists()
    assert name in leftovers.clean(hierarchies)
    assert not (hierarchies.folders["memory"] / name).exists()
    assert name not in leftovers.clean(hierarchies)


def test_what_belongs_to_a_living_run_is_left_alone() -> None:
    data = leftovers.Data()
    try:
        assert data.folder.name not in leftovers.clean(cgroups.required())
        assert data.folder.exists()
    finally:
        data.remove()


def test_an_archive_that_is_none_is_refused_in_one_line(
    own_node: node.Node, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "image.tar").write_text("no archive")
    with pytest.raises(
        errors.ImageError, match=r"image\.tar cannot be imported: .*; remove"
    ) as seen:
        own_node.import_image(tmp_path / "image.tar")
    assert "\n" not in str(seen.value)


def test_a_port_that_somebody_took_is_named_in_one_line_and_nothing_is_left(
    tmp_path: pathlib.Path,
) -> None:
    before = machine()
    refused = node.Node(binaries.cached(), folder=tmp_path)
    port = refused._layout.api_port
    with (
        socket.create_server((ports.LOOPBACK, port)),
        pytest.raises(errors.PortError, match=f"port {port} of .* start again") as seen,
        refused,
    ):
        pass
    assert "\n" not in str(seen.value)
    assert machine() == before
    assert not groups(refused.cgroups.name)
    assert not refused._data.folder.exists()


def test_groups_of_version_2_are_real_where_the_machine_has_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unified = cgroups.hierarchies(cgroups.MOUNTS.read_text("utf-8"))[cgroups.UNIFIED]
    controllers = frozenset((unified / cgroups.CONTROLLERS).read_text("ascii").split())
    before = set((unified / cgroups.ENABLED).read_text("ascii").split())
    monkeypatch.setattr(cgroups, "V2", controllers)
    folders = dict.fromkeys((*controllers, "cpu", cgroups.UNIFIED), unified)
    hierarchies = cgroups.Hierarchies(version=2, folders=folders)
    parent = cgroups.Parent(name=f"{leftovers.PREFIX}test", hierarchies=hierarchies)
    parent.create()
    try:
        (folder,) = parent.folders
        assert set((folder / cgroups.CONTROLLERS).read_text("ascii").split()) == controllers
        assert (
            cgroups.Group(path=pathlib.Path(folder.name), hierarchies=hierarchies).cpu_seconds()
            == 0
        )
        (folder / "inside").mkdir()
        with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE) as process:
            (folder / "inside" / "cgroup.procs").write_text(str(process.pid), "ascii")
            group = cgroups.Group(path=pathlib.Path(folder.name, "inside"), hierarchies=hierarchies)
            waiting.until(lambda: group.cpu_seconds() > 0, what="time is counted")
            with pytest.raises(errors.ConditionError, match="to enable"):
                cgroups._enable(controllers, folder / "inside")
            (folder / "inside" / "cgroup.kill").write_text("1", "ascii")
    finally:
        parent.remove()
        for name in controllers - before:
            (unified / cgroups.ENABLED).write_text(f"-{name}", "ascii")
    assert process.returncode == -signal.SIGKILL
    assert not folder.exists()
