"""The values over which the chart is rendered; every combination must be one that works."""

from __future__ import annotations

from typing import Any

EVERYTHING: dict[str, Any] = {
    "global": {
        "imageRegistry": "mirror.example.com",
        "imagePullSecrets": ["all", {"name": "pull"}],
    },
    "replicas": 3,
    "revisionHistoryLimit": 0,
    "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
    "commonLabels": {"team": "platform"},
    "commonAnnotations": {"owner": "platform", "a": "not-this"},
    "podLabels": {"zone": "a", "app.kubernetes.io/name": "not-this"},
    "podAnnotations": {"kubectl.kubernetes.io/default-container": "not-this", "a": "b"},
    "deploymentAnnotations": {"reloader": "true"},
    "image": {"repository": "example.com/x/sidecar-injector", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "service": {"type": "LoadBalancer", "port": 8443, "annotations": {"internal": "true"}},
    "webhook": {
        "failurePolicy": "Fail",
        "timeoutSeconds": "29s",
        "securePort": 9444,
        "optedOutPods": True,
        "namespaceSelector": {
            "matchLabels": {"tier": "web"},
            "matchExpressions": [{"key": "ci", "operator": "DoesNotExist"}],
        },
        "objectSelector": {
            "matchLabels": {"zone": "a"},
            "matchExpressions": [{"key": "batch", "operator": "NotIn", "values": ["yes"]}],
        },
        "matchConditions": [
            {"name": "not-of-the-ci", "expression": "request.userInfo.username != 'ci'"}
        ],
    },
    "settings": {"adminPort": 18080, "leafSeconds": "720h", "caSeconds": "8760h"},
    "certificates": {"mode": "certManager", "issuerRef": {"name": "ca", "kind": "ClusterIssuer"}},
    "policies": {"managed": True},
    "crds": {"annotations": {"argocd.argoproj.io/sync-options": "Replace=true"}},
    "serviceAccount": {"name": "injector", "annotations": {"a": "b"}},
    "hostNetwork": True,
    "priorityClassName": "system-cluster-critical",
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "extraArgs": ["--kubeconfig=/etc/ssl/extra/config"],
    "extraContainers": [
        {
            "name": "proxy",
            "image": "proxy:1",
            "ports": [{"name": "proxy", "containerPort": 3128}],
            "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        }
    ],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/extra"}],
    "podDisruptionBudget": {"minAvailable": "50%"},
    "networkPolicy": {
        "enabled": True,
        "webhookFrom": [{"ipBlock": {"cidr": "192.0.2.1/32"}}],
        "metricsFrom": [{"podSelector": {}}],
    },
    "serviceMonitor": {
        "enabled": True,
        "interval": "30s",
        "labels": {"release": "prometheus"},
        "annotations": {"a": "b"},
        "relabelings": [{"targetLabel": "cluster", "replacement": "blue"}],
        "metricRelabelings": [{"action": "labeldrop", "regex": "pod_template_hash"}],
    },
    "prometheusRule": {
        "enabled": True,
        "annotations": {"a": "b"},
        "runbookUrl": "https://example.com/runbooks",
    },
    "grafanaDashboard": {"enabled": True, "annotations": {"grafana_folder": "platform"}},
    "helmTest": {"enabled": True, "namespace": "team"},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}},
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}-y"}',
    ],
}
NOTHING: dict[str, Any] = {
    "crds": {"install": False},
    "rbac": {"create": False, "aggregateClusterRoles": False, "authenticatedRead": False},
    "serviceAccount": {"create": False, "name": "existing"},
    "podDisruptionBudget": {"enabled": False},
    "webhook": {"annotations": {"admissions.enforcer/disabled": None}},
    "resources": None,
    "podSecurityContext": None,
    "securityContext": None,
    "nodeSelector": None,
    "topologySpreadConstraints": None,
    "startupProbe": None,
}
MATRIX = {
    "the defaults": {},
    "everything": EVERYTHING,
    "nothing": NOTHING,
    "one replica": {"replicas": 1},
    "one at a time": {"strategy": {"type": "Recreate"}},
    "outside of pods": {
        "service": {"type": "ExternalName", "externalName": "localhost", "port": 34567}
    },
    "certificates of our own": {"certificates": {"mode": "provided", "secretName": "mine"}},
    "cert-manager": {"certificates": {"mode": "certManager", "issuerRef": {"name": "ca"}}},
    "a PodMonitor": {"podMonitor": {"enabled": True, "namespace": "monitoring"}},
    "as a dependency": {"enabled": True, "global": {"imageRegistry": "example.com", "a": {"b": 1}}},
}
