"""docs/validity.md: which rules of the API server for pods the product checks, and which not.

`python -m tools.validity_list` writes it; a test compares. The rules are read from the docstrings
of `sidecar_injector.core.validity` and from the tables that tests try on a real API server.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from sidecar_injector import crds, names
from sidecar_injector.core import validity
from tools import pages

ROOT: Final = Path(__file__).parent.parent
FILE: Final = ROOT / "docs" / "validity.md"
TABLES: Final = ROOT / "tests" / "controlplane" / "validity"
MODULES: Final = (
    "pod", "container", "env", "resources", "security", "spec", "volumes", "volume_sources",
    "volume_claims", "projections", "downward", "label_selector", "pod_security", "releases",
)  # fmt: skip
NOT_CHECKED: Final[Mapping[str, str]] = {
    "ValidateNodeName, ValidatePriorityClassName, ValidatePreemptionPolicy,"
    " ValidateRuntimeClassName, ValidateLabels (of `nodeSelector`), ValidateNonnegativeField,"
    " validateDNSPolicy, validatePodHostName, validateOS, validateOverhead, validateRestartPolicy,"
    " validateReadinessGates, validateSchedulingGates, validateSchedulingGroup,"
    " validatePodResourceClaims, validatePodResourceClaim, validatePodResourceRequirements,"
    " validatePodResourceName, validatePodSpecSecurityContext, validateFSGroupChangePolicy,"
    " validateSELinuxChangePolicy, validateSupplementalGroupsPolicy, validateSysctls,"
    " validateKubeFinalizerName, validateEphemeralContainers": (
        "no injection sets these fields, and nothing that an injection adds can break them"
    ),
    "validateAffinity, apart from `matchLabelKeys`: validateNodeAffinity, ValidateNodeSelector,"
    " ValidateNodeSelectorTerm, ValidateNodeSelectorRequirement,"
    " ValidateNodeFieldSelectorRequirement, ValidatePreferredSchedulingTerms, validatePodAffinity,"
    " validatePodAntiAffinity, validatePodAffinityTerm, validatePodAffinityTerms,"
    " validateWeightedPodAffinityTerms, ValidatePodAffinityTermSelector": "the same",
    "validateImagePullSecrets": "the schema of the CRDs allows only a name",
    "ValidateDNS1123Label, ValidateDNS1123Subdomain, ValidateDNS1123SubdomainWithUnderScore,"
    " ValidateQualifiedName": "kinds of names, which the rules above use",
    "validateBindMountOptions, validateUserField, validateStopSignal, and other rules for fields"
    " behind feature gates that are off by default": (
        "the pod does not show the gates; without its gate, the API server drops the field"
    ),
    "policies, other webhooks": "the pod does not show them",
    "LimitRanges, ResourceQuotas": "the namespace has them: [quotas.md](quotas.md)",
    "privileged containers": "a flag of the API server decides, which the pod does not show",
}
"""Functions of the API server, or subjects, and why they are not checked."""
HEAD: Final = """# What the API server would refuse

<!-- Written by `python -m tools.validity_list`; edit the sources that it names. -->

An injection must never cost a pod. So the product checks the resulting pod by a copy of the API
server's rules before it adds anything, and does not add parts that would make the pod invalid
(reasons `PodWouldBeInvalid` and `PodSecurity`). Mistakes in the author's part are not its concern.
The rules were compared with Kubernetes {version}.

- **When an injection is applied**: its template, by the schema of the CRDs and by CEL; then all
  rules below, for the pod that takes the injection most easily. What no pod can take is refused,
  and of what only some pods can take a warning says which.
- **When the first pod of a kind is created**: the containers and volumes of the template, in the
  context of such pods. The result is kept for the next ones.
- **When any pod is created**: what the combination of pod and injection can break.

An injection can set these fields of a pod's spec: {fields}; besides, labels, annotations, and
parts of the author's containers. An older cluster refuses more; what an injection can break there
is checked too, by the release that the API server reports; the command line without a cluster
assumes {version}. Pod Security is checked by the version that the namespace's label
`enforce-version` names.
"""
CHECKED: Final = """## Checked

The functions of the API server are in
[validation.go](https://github.com/kubernetes/kubernetes/blob/{version}/pkg/apis/core/validation/validation.go).

| module of `core.validity` | what it checks | functions of the API server |
|---|---|---|"""
NOT: Final = """
## Not checked

| functions of the API server, or subject | why not |
|---|---|"""
TRIED: Final = """
Stricter than the API server, on purpose:

- Two spellings of one mount path, such as `/a` and `/a/`: the API server accepts both, and the
  runtime mounts one volume over the other.
- `lifecycle.stopSignal` in a pod without `os.name`: the API server drops the field unless its
  feature gate is on.

## Tried on an API server

Tests send these pods to a real API server, which accepts the author's pod and refuses it with the
added part. They also send random pods, and {accepted} additions that it accepts.

| subject | additions that it refuses |
|---|---|"""


def text() -> str:
    """The page."""
    version = _version()
    fields = ", ".join(f"`{field}`" for field in _fields())
    not_checked = (f"| {subject} | {reason} |" for subject, reason in NOT_CHECKED.items())
    accepted = len(yaml.safe_load((TABLES / "accepted.yaml").read_text("utf-8")))
    parts = [HEAD.format(version=version, fields=fields), CHECKED.format(version=version)]
    parts += [*map(_module, MODULES), NOT, *not_checked, TRIED.format(accepted=accepted)]
    return "\n".join([*parts, *_refused(), ""])


def _version() -> str:
    """The version of Kubernetes that the control plane of the tests is built from."""
    modules = (ROOT / "tools" / "controlplane" / "go.mod").read_text("utf-8")
    match = re.search(r"k8s\.io/kubernetes (v\S+)", modules)
    assert match, "go.mod requires Kubernetes"
    return match[1]


def _fields() -> list[str]:
    template = crds.spec_schema(names.CLUSTER_KIND)["properties"]["template"]
    return sorted(template["properties"]["spec"]["properties"])


def _module(name: str) -> str:
    module = importlib.import_module(f"{validity.__name__}.{name}")
    description = inspect.getdoc(module) or ""
    subject = description.partition(".\n")[0].removeprefix("What the API server requires of ")
    functions = ", ".join(re.findall(r"\b[vV]alidate\w+", description)) or "the plugin PodSecurity"
    return f"| `{name}` | {subject} | {functions} |"


def _refused() -> Iterator[str]:
    """A row for each group of the table; its comments begin the groups."""
    table = (TABLES / "refused.yaml").read_text("utf-8")
    for group in table.split("\n\n# ")[1:]:
        heading, _, rows = group.partition("\n")
        yield f"| {heading} | {'; '.join(row['case'] for row in yaml.safe_load(rows))} |"


if __name__ == "__main__":
    pages.write(FILE, text())
