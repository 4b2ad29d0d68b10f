"""The images that stand in for published ones do what the walkthrough asks of those."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import urllib.request

import pytest

from tools.controlplane import guard, ports, processes, waiting
from tools.image import archive, test_images

pytestmark = pytest.mark.own_node("unpacks images that are built here, as root")

CONFIGURATION = """
events {}
http { server { listen 127.0.0.1:PORT; location / { return 200 "from the sidecar"; } } }
"""
IN_CONTAINER = 'mount --rbind /proc "$1/proc" && exec /usr/sbin/chroot "$@"'
"""Shell: the logs lead to /dev/stdout, which leads into /proc."""


@pytest.fixture(scope="module")
def images() -> dict[str, pathlib.Path]:
    return test_images.ensure()


def unpacked(image: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    archive.unpack(image, folder)
    return folder


def test_each_has_the_name_by_which_the_kubelet_asks_for_it(
    images: dict[str, pathlib.Path],
) -> None:
    assert set(images) == {test_images.ALPINE, test_images.NGINX}
    for name, path in images.items():
        assert set(archive.read(path).names) == {name, archive.kubelet_name(name)}


def test_the_shell_has_the_usual_commands(
    images: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    root = unpacked(images[test_images.ALPINE], tmp_path)
    script = "set -e; sleep 0; id -u; echo yes | grep y; ls /tmp; cat /etc/passwd | head -n 1"
    command = ["/usr/sbin/chroot", "--userspec=1000:1000", str(root), "/bin/sh", "-c", script]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == ["1000", "yes", "root:x:0:0:root:/root:/bin/sh"]


def test_nginx_serves_and_logs_to_the_container(
    images: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    root, port = unpacked(images[test_images.NGINX], tmp_path / "root"), ports.free()
    # As in the walkthrough: a ConfigMap over the folder leaves this one file in it.
    (root / "etc/nginx/nginx.conf").write_text(CONFIGURATION.replace("PORT", str(port)))
    (program, *arguments) = archive.read(images[test_images.NGINX]).config["config"]["Cmd"]
    (root / "proc").mkdir(exist_ok=True)
    confined = ("/usr/bin/unshare", "--mount", "/bin/sh", "-c", IN_CONTAINER, "sh", str(root))
    command = (*confined, f"/usr/sbin/{program}", *arguments)

    def answer() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=5) as opened:
            return str(opened.read().decode())

    with contextlib.closing(guard.Guard()) as watcher:
        log = tmp_path / "nginx.log"
        process = processes.Process(name="nginx", command=command, log=log, guard=watcher)
        process.start()
        assert waiting.until(answer, what="nginx answers") == "from the sidecar"
        assert process.terminate() == 0
    assert '"GET /hello HTTP/1.1" 200' in log.read_text()
