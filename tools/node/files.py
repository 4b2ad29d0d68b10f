"""The configuration files of a node's processes, with paths inside the node. Pure."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Final

from tools.image import archive
from tools.node import images, space

DATA: Final = "/run/node"
"""The data folder, inside."""
SOCKET: Final = "/run/containerd/containerd.sock"
ADMINISTRATOR: Final = "administrator"
NODE: Final = f"system:node:{space.NAME}"
SCHEDULER: Final = "system:kube-scheduler"
PROXY_USER: Final = "system:kube-proxy"
GROUPS: Final = {
    ADMINISTRATOR: "system:masters",
    NODE: "system:nodes",
    SCHEDULER: "system:authenticated",
    PROXY_USER: "system:authenticated",
}
"""The users inside, which RBAC's own bindings name, and the group of each."""
KUBELET: Final = "kubelet.yaml"
PROXY: Final = "kube-proxy.yaml"
CONTAINERD: Final = "containerd.toml"
NETWORK: Final = "network"
POD_NETWORK: Final = "10.244.0.0/16"
NODE_NETWORK: Final = "10.244.0.0/24"
MAX_PODS: Final = 110

Json = dict[str, Any]


def kubeconfig(folder: pathlib.Path, user: str) -> pathlib.Path:
    """Of one of the users."""
    return folder / f"{user.replace(':', '-')}.kubeconfig"


def kubelet(*, cgroup: str) -> Json:
    """https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ ; JSON is YAML."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": space.ADDRESS,
        # It listens in the node's namespaces only, where every client is ours.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        # Less than the score of this process needs CAP_SYS_RESOURCE, which containers do not have.
        "oomScoreAdj": 0,
        "maxPods": MAX_PODS,
        "makeIPTablesUtilChains": False,
        "resolvConf": f"{DATA}/resolv.conf",
        "podLogsDir": f"{DATA}/pods",
        "volumePluginDir": f"{DATA}/plugins",
        "rotateCertificates": False,
        # A disk that is nearly full is a matter of this machine's owner.
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # The default of 5 a second is for nodes of which there are many.
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
    }


def proxy(folder: pathlib.Path) -> Json:
    """https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/"""
    never = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig(folder, PROXY_USER))},
        "mode": "nftables",
        "clusterCIDR": POD_NETWORK,
        "oomScoreAdj": 0,
        # These limits are the machine's.
        "conntrack": never,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    }


def network() -> Json:
    """One bridge: https://www.cni.dev/plugins/current/main/bridge/"""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": NODE_NETWORK}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{DATA}/addresses",
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": addresses,
    }
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def containerd(folder: pathlib.Path, *, plugins: pathlib.Path) -> str:
    """https://github.com/containerd/containerd/blob/main/docs/cri/config.md"""
    options = f"{_CRI}.runtime'.containerd.runtimes.runc"
    tables: dict[str, Json] = {
        "": {
            "version": 4,
            "root": f"{DATA}/containerd",
            "state": "/run/containerd",
            "disabled_plugins": [
                "io.containerd.nri.v1.nri",
                *(
                    f"io.containerd.snapshotter.v1.{name}"
                    for name in ("blockfile", "btrfs", "devmapper", "erofs", "zfs")
                ),
            ],
        },
        "grpc": {"address": SOCKET},
        "plugins.'io.containerd.internal.v1.opt'": {"path": f"{DATA}/opt"},
        f"{_CRI}.images'": {"snapshotter": "overlayfs"},
        f"{_CRI}.images'.pinned_images": {"sandbox": archive.kubelet_name(images.HELPER)},
        f"{_CRI}.runtime'": {
            # Lowering a score needs CAP_SYS_RESOURCE; scores above ours still apply.
            "restrict_oom_score_adj": True,
            "disable_apparmor": True,
        },
        options: {"runtime_type": "io.containerd.runc.v2"},
        f"{options}.options": {"BinaryName": "runc", "Root": "/run/runc", "SystemdCgroup": False},
        f"{_CRI}.runtime'.cni": {"bin_dirs": [str(plugins)], "conf_dir": str(folder / NETWORK)},
    }
    return "\n".join(_table(name, entries) for name, entries in tables.items())


_CRI: Final = "plugins.'io.containerd.cri.v1"


def _table(name: str, entries: Json) -> str:
    """Strings, booleans, numbers and lists of strings are the same in TOML and JSON."""
    head = f"[{name}]\n" if name else ""
    return head + "".join(f"{key} = {json.dumps(value)}\n" for key, value in entries.items())
