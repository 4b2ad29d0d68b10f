"""The command lines of a node's processes. Pure: nothing is started or written here.

What the flags mean: https://kubernetes.io/docs/reference/command-line-tools-reference/
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Final

from tools.controlplane import components
from tools.node import binaries, files, space

CONTAINERD_NAMESPACE: Final = "k8s.io"
"""Where the kubelet's images and containers are."""


def server(layout: components.Layout) -> str:
    """The address of the API server inside."""
    return f"https://{space.ADDRESS}:{layout.api_port}"


def apiserver(programs: binaries.Programs, layout: components.Layout) -> tuple[str, ...]:
    """The control plane's, on the node's address and with the usual limits of nodes."""
    return _changed(
        components.apiserver(programs.controlplane, layout),
        {
            "--bind-address": "0.0.0.0",  # noqa: S104 - in a network namespace of its own
            "--advertise-address": space.ADDRESS,
            "--endpoint-reconciler-type": "lease",
            "--authorization-mode": "Node,RBAC",
            "--enable-admission-plugins": "NodeRestriction",
            # Otherwise it looks up the node's name, which is in no DNS, for logs and exec.
            "--kubelet-preferred-address-types": "InternalIP",
        },
    )


def controller_manager(programs: binaries.Programs, layout: components.Layout) -> tuple[str, ...]:
    """The control plane's, with an address that is right inside."""
    return _changed(
        components.controller_manager(programs.controlplane, layout),
        {"--kubeconfig": str(files.kubeconfig(layout.folder, files.ADMINISTRATOR))},
    )


def scheduler(programs: binaries.Programs, layout: components.Layout) -> tuple[str, ...]:
    """It serves nothing, as the controller manager."""
    return (
        programs.kubernetes("kube-scheduler"),
        f"--kubeconfig={files.kubeconfig(layout.folder, files.SCHEDULER)}",
        "--leader-elect=false",
        "--secure-port=0",
    )


def kubelet(programs: binaries.Programs, layout: components.Layout) -> tuple[str, ...]:
    """See files.kubelet for the rest."""
    return (
        programs.kubernetes("kubelet"),
        f"--config={layout.folder / files.KUBELET}",
        f"--kubeconfig={files.kubeconfig(layout.folder, files.NODE)}",
        f"--node-ip={space.ADDRESS}",
        f"--hostname-override={space.NAME}",
        f"--root-dir={files.DATA}/kubelet",
        f"--cert-dir={files.DATA}/kubelet/pki",
    )


def proxy(programs: binaries.Programs, layout: components.Layout) -> tuple[str, ...]:
    """See files.proxy for the rest."""
    return (
        programs.kubernetes("kube-proxy"),
        f"--config={layout.folder / files.PROXY}",
        f"--hostname-override={space.NAME}",
    )


def containerd(programs: binaries.Programs, layout: components.Layout) -> tuple[str, ...]:
    """It looks for its shim on the PATH, which is set to the folder of the programs first."""
    return (
        *("env", f"PATH={programs.folder}:/usr/sbin:/usr/bin:/sbin:/bin"),
        *(str(programs.folder / "containerd"), f"--config={layout.folder / files.CONTAINERD}"),
    )


def import_image(programs: binaries.Programs, archive: pathlib.Path) -> tuple[str, ...]:
    """Give the kubelet the image in an OCI archive."""
    client = (str(programs.folder / "ctr"), f"--address={files.SOCKET}")
    return (
        *client,
        f"--namespace={CONTAINERD_NAMESPACE}",
        "images",
        "import",
        "--local",
        str(archive),
    )


def forward(programs: binaries.Programs, layout: components.Layout, *, pid: int) -> tuple[str, ...]:
    """It runs outside and lets this machine reach the API server, at the same port."""
    near, far = f"127.0.0.1:{layout.api_port}", f"{space.ADDRESS}:{layout.api_port}"
    return (str(programs.helper), "forward", near, far, str(pid))


def _changed(command: Sequence[str], flags: Mapping[str, str]) -> tuple[str, ...]:
    """Replaced, not repeated: a second flag would add to one that has a list."""
    others = (word for word in command if word.partition("=")[0] not in flags)
    return (*others, *(f"{flag}={text}" for flag, text in flags.items()))
