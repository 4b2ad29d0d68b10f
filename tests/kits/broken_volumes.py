"""Random sources of volumes, for random pods: see broken_pods."""

from __future__ import annotations

from typing import Any

from tests.kits import broken_containers
from tests.kits.broken_containers import Json

IQN = "iqn.2001-04.com.example:a"
DISK = "https://a"
NAMES = ("c", "a.b")
BAD_NAMES = ("C", "a_b", "-a")


class Draw(broken_containers.Draw):
    """Sources of storage systems, claims and projections, the same for the same seed."""

    def storage(self) -> Json:
        """A source that only a storage system knows."""
        secret = self.mostly(None, {"name": "s"}, bad=[{}, {"name": ""}])
        partition = self.mostly(0, 255, bad=[-1, 256])
        sources: list[Json] = [
            {"awsElasticBlockStore": {"volumeID": "v", "partition": partition}},
            {"azureDisk": self.azure_disk()},
            {"azureFile": {"secretName": self.mostly("s", bad=[""]), "shareName": "s"}},
            {"cephfs": {"monitors": self.mostly(["a"], bad=[[]])}},
            {"cinder": {"volumeID": "v", "secretRef": secret}},
            {"fc": self.fibre_channel()},
            {"flexVolume": {"driver": "d", "options": {self.option(): "b"}}},
            {"flocker": self.mostly({"datasetName": "a"}, {"datasetUUID": "a/b"},
                                    bad=[{}, {"datasetName": "a/b"},
                                         {"datasetName": "a", "datasetUUID": "b"}])},
            {"gcePersistentDisk": {"pdName": "p", "partition": partition}},
            {"gitRepo": {"repository": "r",
                         "directory": self.mostly("", "a..b", bad=["/a", "..", "a/../b"])}},
            {"glusterfs": {"endpoints": "e", "path": self.mostly("p", bad=[""])}},
            {"iscsi": self.iscsi()},
            {"photonPersistentDisk": {"pdID": self.mostly("p", bad=[""])}},
            {"portworxVolume": {"volumeID": self.mostly("p", bad=[""])}},
            {"quobyte": {"volume": "v", "registry": self.mostly("a:1", "a:1,[::1]:2", ":",
                                                                bad=["a", "", "::1:2", "[a"])}},
            {"rbd": {"monitors": ["a"], "image": self.mostly("i", bad=[""])}},
            {"scaleIO": {"gateway": "g", "system": self.mostly("s", bad=[""]), "volumeName": "v",
                         "secretRef": {"name": "s"}}},
            {"storageos": {"volumeName": self.mostly("v", bad=["V", "", "a.b"]),
                           "volumeNamespace": self.mostly("", "n", bad=["N"]),
                           "secretRef": secret}},
            {"vsphereVolume": {"volumePath": self.mostly("p", bad=[""])}},
        ]  # fmt: skip
        return dict(self.choice(sources))

    def option(self) -> str:
        return str(self.mostly("a", "xk8s.io/a", bad=["kubernetes.io", "A.K8s.io/a"]))

    def azure_disk(self) -> Json:
        kind = self.mostly(None, "Managed", "Dedicated", bad=["", "managed"])
        fitting = "/subscriptions/a" if kind == "Managed" else DISK
        disk = {"diskName": "d", "diskURI": self.mostly(fitting, bad=["", "a", "/subscriptions"])}
        return disk | {"kind": kind, "cachingMode": self.mostly(None, "None", bad=["", "none"])}

    def fibre_channel(self) -> Json:
        good = {"wwids": ["a"]}, {"targetWWNs": ["a"], "lun": 0}, {"wwids": ["a"], "lun": 300}
        bad: list[Json] = [
            {}, {"targetWWNs": ["a"]}, {"targetWWNs": ["a"], "wwids": ["b"], "lun": 1},
            {"targetWWNs": ["a"], "lun": 256},
        ]  # fmt: skip
        return dict(self.mostly(*good, bad=bad))

    def iscsi(self) -> Json:
        naming = {"bad": ["iqn", "iqn.01-1.a:b", "eui.1", "naa.1", "a", f"{IQN},", f"{IQN}\n"]}
        source = {
            "targetPortal": "a",
            "iqn": self.mostly(IQN, "eui.02004567A425678D", f"iqn {IQN}", **naming),
            "initiatorName": self.mostly(None, IQN, **naming),
            "lun": self.mostly(0, 255, bad=[-1, 256]),
        }
        chap: Json = {"chapAuthSession": True, "secretRef": self.mostly({}, bad=[None])}
        return source | self.choice([chap, {}])

    def claim(self) -> Json:
        """The template of a claim, of an ephemeral volume."""
        source = self.mostly({"kind": "PersistentVolumeClaim", "name": "x"},
                             {"apiGroup": "a.b", "kind": "K", "name": "x"},
                             bad=[{"kind": "K", "name": "x"}, {"apiGroup": "a.b", "kind": "K"},
                                  {"apiGroup": "A", "kind": "K", "name": "x"}])  # fmt: skip
        modes = self.mostly(["ReadWriteOnce"], ["ReadWriteOncePod"],
                            bad=[[], ["x"], ["ReadWriteOncePod", "ReadOnlyMany"]])  # fmt: skip
        size = self.mostly("1Gi", 1, "1m", bad=[0, "-1"])
        spec = self.members(
            0.3,
            storageClassName=lambda: self.mostly("", *NAMES, bad=BAD_NAMES),
            volumeAttributesClassName=lambda: self.mostly("", *NAMES, bad=BAD_NAMES),
            volumeMode=lambda: self.mostly("Block", bad=["", "block"]),
            dataSource=lambda: source,
            dataSourceRef=lambda: self.mostly(source, bad=[source | {"namespace": "N"}]),
            selector=lambda: self.mostly({}, {"matchLabels": {"a": "b"}},
                                         bad=[{"matchExpressions": [{"key": "a",
                                                                     "operator": "Is"}]}]),
        )  # fmt: skip
        metadata = self.mostly({}, {"labels": {"a": "b"}},
                               bad=[{"name": "x"}, {"annotations": {"a b": "c"}}])  # fmt: skip
        spec |= {"accessModes": modes, "resources": {"requests": {"storage": size}}}
        return {"volumeClaimTemplate": {"metadata": metadata, "spec": spec}}

    def projection(self) -> Json:
        """A source of a projected volume."""
        path = self.mostly("p", "q", "r", "s/t", bad=["/p", "..p", ""])
        signer = self.mostly("a.b/c", "kubernetes.io/c", bad=["a", "a/b", "A.b/c", "a.b/c/d", ""])
        certificate = {
            "signerName": signer,
            "keyType": self.mostly("ED25519", "RSA3072", bad=["", "RSA"]),
            "maxExpirationSeconds": self.mostly(None, 3600, 86400, bad=[3599, 7862401]),
            self.choice(["keyPath", "credentialBundlePath", "certificateChainPath"]): path,
        }
        bundle: Any = self.mostly({"name": "a.b:c"}, {"name": "c"}, {"signerName": "a.b/c"},
                                  bad=[{}, {"name": ""}, {"signerName": signer, "name": "c"},
                                       {"name": "C"}, {"name": "a/b:c"}])  # fmt: skip
        resource = {
            "containerName": self.mostly("app", bad=[""]),
            "resource": self.mostly("limits.cpu", bad=["cpu"]),
            "divisor": self.mostly("1m", "1", "0", "1000m", bad=["1k", "1e0", "+1", "2"]),
        }
        sources: list[Json] = [
            {"podCertificate": certificate},
            {"clusterTrustBundle": {**bundle, "path": path}},
            {"downwardAPI": {"items": [{"path": path, "resourceFieldRef": resource}]}},
        ]
        return dict(self.choice(sources))
