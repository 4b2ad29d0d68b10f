"""The command lines of the three servers. Pure: nothing is started or written here.

What the flags mean: https://kubernetes.io/docs/reference/command-line-tools-reference/
and https://etcd.io/docs/latest/op-guide/configuration/
"""

from __future__ import annotations

import dataclasses
import pathlib

from tools.controlplane import binaries, ports


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where one control plane listens and keeps its files."""

    folder: pathlib.Path
    """Logs, kubeconfig and keys."""
    data: pathlib.Path
    """The data of etcd; not needed afterwards."""
    etcd_port: int
    peer_port: int
    api_port: int

    @property
    def etcd_url(self) -> str:
        """For the API server."""
        return f"http://{ports.LOOPBACK}:{self.etcd_port}"

    @property
    def server(self) -> str:
        """For all other clients."""
        return f"https://{ports.LOOPBACK}:{self.api_port}"

    @property
    def certificates(self) -> pathlib.Path:
        """The API server signs its own serving certificate into this folder."""
        return self.folder / "certificates"

    @property
    def certificate_authority(self) -> pathlib.Path:
        """Serving certificate and issuer in one file."""
        return self.certificates / "apiserver.crt"

    @property
    def service_account_key(self) -> pathlib.Path:
        """The private key for tokens of ServiceAccounts; this package creates it."""
        return self.folder / "service-accounts.key"

    @property
    def tokens(self) -> pathlib.Path:
        """The users with a fixed token; this package writes it."""
        return self.folder / "tokens.csv"

    @property
    def kubeconfig(self) -> pathlib.Path:
        """The administrator's."""
        return self.folder / "kubeconfig"


def etcd(programs: binaries.Binaries, layout: Layout) -> tuple[str, ...]:
    """A single member. Nothing is synced to disk: it need not survive the machine."""
    peer = f"http://{ports.LOOPBACK}:{layout.peer_port}"
    return (
        str(programs.etcd),
        "--name=default",
        f"--data-dir={layout.data}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={layout.etcd_url}",
        f"--advertise-client-urls={layout.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    )


def apiserver(programs: binaries.Binaries, layout: Layout) -> tuple[str, ...]:
    """As on a cluster: RBAC, and every admission plugin that is on by default."""
    return (
        str(programs.apiserver),
        f"--etcd-servers={layout.etcd_url}",
        f"--secure-port={layout.api_port}",
        f"--bind-address={ports.LOOPBACK}",
        f"--advertise-address={ports.LOOPBACK}",
        f"--cert-dir={layout.certificates}",
        f"--service-account-key-file={layout.service_account_key}",
        f"--service-account-signing-key-file={layout.service_account_key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        # As kubeadm sets it: without, privileged pods are refused before any policy of ours.
        "--allow-privileged=true",
        f"--token-auth-file={layout.tokens}",
        # It would publish a loopback address as the endpoint of Service kubernetes, and refuses to.
        "--endpoint-reconciler-type=none",
    )


def controller_manager(programs: binaries.Binaries, layout: Layout) -> tuple[str, ...]:
    """All controllers; it serves nothing itself, which saves a port."""
    return (
        str(programs.controller_manager),
        f"--kubeconfig={layout.kubeconfig}",
        "--leader-elect=false",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--secure-port=0",
        f"--root-ca-file={layout.certificate_authority}",
        f"--service-account-private-key-file={layout.service_account_key}",
    )
