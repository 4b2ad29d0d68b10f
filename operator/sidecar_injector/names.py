"""Every name that others rely on: users, the API server, the chart.

Nothing here is configurable; what an administrator may change is in `settings`. A test compares
these names with the chart and the CRDs.
"""

PRODUCT = "sidecar-injector"
"""Name of the chart, the command, the image, the field manager and the reporter of Events."""

GROUP = "sidecar-injector.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "SidecarInjection"
CLUSTER_KIND = "ClusterSidecarInjection"
PLURAL = "sidecarinjections"
CLUSTER_PLURAL = "clustersidecarinjections"
TOKEN_VOLUME_PREFIX = "kube-api-access-"  # noqa: S105 - a name, no token
"""Start of the name of a volume that the API server adds; five random characters follow:
https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/admission/serviceaccount/admission.go"""
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, no secret
"""Where the API server mounts this volume."""
CLUSTER_PREFIX = "cluster/"
"""`cluster/NAME` in a pod's annotation is the ClusterSidecarInjection of that name."""

INJECTION_LABEL = "sidecar-injection"
"""`enabled` on a namespace opts it in; `disabled` on a pod opts it out, so that the API server does
not call `MUTATE_WEBHOOK`."""
ENABLED = "enabled"
DISABLED = "disabled"

INJECT_ANNOTATION = f"{GROUP}/inject"
STATUS_ANNOTATION = f"{GROUP}/status"
INJECTED_ANNOTATION = f"{GROUP}/injected"
SKIPPED_ANNOTATION = f"{GROUP}/skipped"
"""Short texts of the status annotation, which `kubectl describe` prints whole."""
INJECTED_LABEL = f"{GROUP}/injected"
INJECTED_LABEL_VALUE = "true"
"""On pods that have something of an injection, to select them by."""
ROTATE_ANNOTATION = f"{GROUP}/rotate"

TUTORIAL_GROUP = "sidecar-injector-webhook.morven.me"
"""The tutorial that this product began as: pods with its annotation are injected."""
TUTORIAL_INJECT_ANNOTATION = f"{TUTORIAL_GROUP}/inject"
TUTORIAL_STATUS_ANNOTATION = f"{TUTORIAL_GROUP}/status"
TUTORIAL_INJECTED = "injected"

MUTATE_WEBHOOK = f"pods.{GROUP}"
OPTED_OUT_WEBHOOK = f"opted-out.{MUTATE_WEBHOOK}"
"""Called for pods that opt out by label; only there if the chart value `webhook.optedOutPods` is
true."""
MUTATE_PATH = "/mutate"
VALIDATE_WEBHOOK = f"injections.{GROUP}"
VALIDATE_PATH = "/validate"
WORKLOADS_WEBHOOK = f"workloads.{GROUP}"
WORKLOADS_PATH = "/workloads"
VALIDATE_HANDLER = "injections"
"""The id under which Kopf knows the handler that `VALIDATE_PATH` dispatches to."""

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""Set by the API server on every namespace."""
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
"""On the API server's copy of a static pod, which nobody can change."""
APP_NAME_LABEL = "app.kubernetes.io/name"
"""The operator's own pods have it with the value `PRODUCT`."""
DEFAULT_CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container"
SAFE_TO_EVICT_ANNOTATION = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
POD_SECURITY_ENFORCE_LABEL = "pod-security.kubernetes.io/enforce"
POD_SECURITY_VERSION_LABEL = "pod-security.kubernetes.io/enforce-version"
CONTAINER_RESTART_ALWAYS = "Always"

# Keys of the certificate Secret.
TLS_CERT = "tls.crt"
TLS_KEY = "tls.key"
CA_CERT = "ca.crt"
CA_KEY = "ca.key"
NEXT_CA_CERT = "next-ca.crt"
NEXT_CA_KEY = "next-ca.key"
PREVIOUS_CA_CERT = "previous-ca.crt"
PREVIOUS_CA_EXPIRES = "previous-ca-expires"
"""When the last leaf of the previous CA expires (RFC 3339); absent means the CA's own end."""
GENERATION = "generation"


def secret_name(fullname: str) -> str:
    """The Secret that holds the webhook's certificates, unless the chart names another."""
    return f"{fullname}-tls"


def guard_name(fullname: str) -> str:
    """The ValidatingAdmissionPolicy beside the MutatingAdmissionPolicy, and its binding."""
    return f"{fullname}-guard"


def lease_name(fullname: str) -> str:
    """The Lease whose holder audits: only one replica may."""
    return f"{fullname}-audit"


def verified_dns_name(*, service: str, namespace: str) -> str:
    """The one name by which the API server verifies a webhook's certificate.

    https://github.com/kubernetes/apiserver/blob/master/pkg/util/webhook/client.go
    """
    return f"{service}.{namespace}.svc"


def service_dns_names(*, service: str, namespace: str, cluster_domain: str) -> tuple[str, ...]:
    """The names in the serving certificate that we issue."""
    scoped = verified_dns_name(service=service, namespace=namespace)
    return (service, f"{service}.{namespace}", scoped, f"{scoped}.{cluster_domain}")
