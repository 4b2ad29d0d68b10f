"""Every possible outcome of a decision, each with a sentence and a remedy for people.

The codes are a contract: log lines, metric labels, events, the status annotation and `explain`
contain them. A code is never renamed or reused.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Level(enum.Enum):
    """What a reason is about. This decides where it is reported."""

    SCOPE = "the pod is out of scope"
    MATCH = "the injection does not apply"
    FIT = "the injection applies but cannot be done"
    DONE = "done"
    DRY_RUN = "the injection is decided about, and nothing is added"
    ANNOTATION = "an annotation cannot be used"


class PodVerdict(enum.Enum):
    """What becomes of a pod."""

    OUT_OF_SCOPE = "OutOfScope"
    UNCHANGED = "Unchanged"
    INJECTED = "Injected"
    REFUSED = "Refused"


class Verdict(enum.Enum):
    """What becomes of one injection on one pod."""

    NOT_APPLICABLE = "NotApplicable"
    SKIPPED = "Skipped"
    PRESENT = "Present"
    INJECTED = "Injected"
    REFUSED = "Refused"
    DRY_RUN = "DryRun"


class Reason(enum.Enum):
    """The closed list of reason codes."""

    def __new__(cls, code: str, level: Level, sentence: str, remedy: str) -> Reason:
        member = object.__new__(cls)
        member._value_ = code
        member.level = level
        member.sentence = sentence
        member.remedy = remedy
        return member

    level: Level
    sentence: str
    remedy: str
    """What a person does about it; `remedies` adds a command with the names filled in."""

    NAMESPACE_NOT_ENABLED = (
        "NamespaceNotEnabled", Level.SCOPE,
        "the namespace does not carry the label sidecar-injection=enabled",
        "label the namespace, then restart its workloads",
    )  # fmt: skip
    NAMESPACE_EXCLUDED = (
        "NamespaceExcluded", Level.SCOPE,
        "pods of system namespaces and of the injector's own are never injected",
        "run the workload in another namespace",
    )  # fmt: skip
    POD_LABEL_DISABLED = (
        "PodLabelDisabled", Level.SCOPE,
        "the pod carries the label sidecar-injection=disabled",
        "remove the label sidecar-injection from the pod template",
    )  # fmt: skip
    POD_ANNOTATION_DISABLED = (
        "PodAnnotationDisabled", Level.SCOPE,
        "the pod's annotation says no",
        "remove the annotation sidecar-injector.dev/inject from the pod template",
    )  # fmt: skip
    MIRROR_POD = (
        "MirrorPod", Level.SCOPE,
        "a mirror pod only shows a static pod and cannot be changed",
        "add the sidecar to the static pod's file on the node",
    )  # fmt: skip
    OWN_POD = (
        "OwnPod", Level.SCOPE,
        "the pod belongs to the injector itself",
        "remove the label app.kubernetes.io/name=sidecar-injector from other pods",
    )  # fmt: skip
    NOT_A_CREATE = (
        "NotACreate", Level.SCOPE,
        "containers can only be added while a pod is being created",
        "restart the workload, since new pods are injected",
    )  # fmt: skip

    SELECTOR_MISMATCH = (
        "SelectorMismatch", Level.MATCH,
        "the selector does not match the pod's labels",
        "compare spec.selector with the labels of the pod template",
    )  # fmt: skip
    NAMESPACE_SELECTOR_MISMATCH = (
        "NamespaceSelectorMismatch", Level.MATCH,
        "the namespaceSelector does not match the namespace's labels",
        "compare spec.namespaceSelector with the labels of the namespace",
    )  # fmt: skip
    NOT_REQUESTED = (
        "NotRequested", Level.MATCH,
        "activation is OnRequest, and the pod's annotation does not ask for it",
        "set the annotation sidecar-injector.dev/inject to its name in the pod template",
    )  # fmt: skip
    OPTED_OUT = (
        "OptedOut", Level.MATCH,
        "the pod opts out of all injections that do not forbid it",
        "remove the label sidecar-injection, or the annotation that says no, from the pod template",
    )  # fmt: skip
    NOT_LISTED = (
        "NotListed", Level.MATCH,
        "the pod's annotation wants only other injections",
        "add its name to the list in the annotation",
    )  # fmt: skip
    SUSPENDED = (
        "Suspended", Level.MATCH,
        "the injection is suspended",
        "set spec.suspend to false",
    )  # fmt: skip
    HOST_NETWORK = (
        "HostNetwork", Level.MATCH,
        "the pod uses the host network, and hostNetworkPods is Skip",
        "set hostNetworkPods: Inject if the sidecar may use ports of the node",
    )  # fmt: skip
    OPERATING_SYSTEM = (
        "OperatingSystem", Level.MATCH,
        "the pod is for another operating system",
        "set operatingSystem: Any if the template works on both",
    )  # fmt: skip

    INVALID = (
        "Invalid", Level.FIT,
        "the injection is not valid",
        "correct the injection; its condition Accepted names the field",
    )  # fmt: skip
    CONTAINER_CONFLICT = (
        "ContainerConflict", Level.FIT,
        "the pod has a different container of that name",
        "rename one of the two, or set onConflict: Merge",
    )  # fmt: skip
    VOLUME_CONFLICT = (
        "VolumeConflict", Level.FIT,
        "the pod has a different volume of that name",
        "rename one of the two, or define both alike",
    )  # fmt: skip
    MOUNT_PATH_CONFLICT = (
        "MountPathConflict", Level.FIT,
        "another volume is mounted at that path",
        "mount it at another path, or exclude the container by name",
    )  # fmt: skip
    ENV_CONFLICT = (
        "EnvConflict", Level.FIT,
        "the value of a variable comes from elsewhere",
        "give the variable a value, or exclude the container by name",
    )  # fmt: skip
    PORT_CONFLICT = (
        "PortConflict", Level.FIT,
        "the number or the name of a port is taken",
        "give the sidecar's port another number or name",
    )  # fmt: skip
    MISSING_VOLUME = (
        "MissingVolume", Level.FIT,
        "a mounted volume is defined neither by template nor by pod",
        "add the volume to the template, or to the pod",
    )  # fmt: skip
    MISSING_SERVICE_ACCOUNT = (
        "MissingServiceAccount", Level.FIT,
        "the ServiceAccount does not exist in the namespace",
        "create the ServiceAccount in the pod's namespace",
    )  # fmt: skip
    MISSING_VALUE = (
        "MissingValue", Level.FIT,
        "a required value is not on the pod or its namespace",
        "set the value there, or give the parameter a default",
    )  # fmt: skip
    INVALID_VALUE = (
        "InvalidValue", Level.FIT,
        "a parameter does not accept its value",
        "correct the value",
    )  # fmt: skip
    INJECTION_CONFLICT = (
        "InjectionConflict", Level.FIT,
        "another injection has already added the same part",
        "change one of the two, or let them select different pods",
    )  # fmt: skip
    TOO_MUCH_WORK = (
        "TooMuchWork", Level.FIT,
        "the pod and the injections before it are too large for this one to be added",
        "let fewer injections select the pod, or fewer of its containers",
    )  # fmt: skip
    POD_SECURITY = (
        "PodSecurity", Level.FIT,
        "the namespace's enforced Pod Security level forbids the parts",
        "give the sidecar the securityContext that the level requires",
    )  # fmt: skip
    LIMIT_RANGE = (
        "LimitRange", Level.FIT,
        "a LimitRange of the namespace forbids the parts",
        "give the sidecar resources that the LimitRange allows",
    )  # fmt: skip
    RESOURCE_QUOTA = (
        "ResourceQuota", Level.FIT,
        "a ResourceQuota of the namespace forbids the parts",
        "give the sidecar resources that fit, or raise the quota",
    )  # fmt: skip
    POD_WOULD_BE_INVALID = (
        "PodWouldBeInvalid", Level.FIT,
        "the API server would refuse the resulting pod",
        "correct the template",
    )  # fmt: skip

    INJECTED = (
        "Injected", Level.DONE,
        "added",
        "nothing: the pod has it",
    )  # fmt: skip
    ALREADY_INJECTED = (
        "AlreadyInjected", Level.DONE,
        "all of its parts are there already",
        "nothing: the pod has it",
    )  # fmt: skip
    OUTDATED = (
        "Outdated", Level.DONE,
        "parts of an older template are there and are kept",
        "take the older parts out of the manifest with sidecar-injector uninject",
    )  # fmt: skip

    DRY_RUN = (
        "DryRun", Level.DRY_RUN,
        "nothing is added, as spec.dryRun is true",
        "set spec.dryRun to false",
    )  # fmt: skip

    UNKNOWN_INJECTION = (
        "UnknownInjection", Level.ANNOTATION,
        "the annotation lists an injection that does not exist",
        "correct the name, or create the injection",
    )  # fmt: skip
    INVALID_ANNOTATION = (
        "InvalidAnnotation", Level.ANNOTATION,
        "the annotation is neither yes, no nor a list of injection names",
        "write yes, no, or names separated by commas, with or without only:",
    )  # fmt: skip
    UNKNOWN_ANNOTATION = (
        "UnknownAnnotation", Level.ANNOTATION, "an annotation is only similar to one of ours",
        "write the key sidecar-injector.dev/inject",
    )  # fmt: skip
    MISPLACED_ANNOTATION = (
        "MisplacedAnnotation", Level.ANNOTATION,
        "our annotation is a label, or is not in the pod template",
        "move it to the annotations of the pod template",
    )  # fmt: skip
    UNKNOWN_LABEL_VALUE = (
        "UnknownLabelValue", Level.ANNOTATION,
        "the label sidecar-injection is neither enabled nor disabled",
        "write disabled to opt the pod out, or enabled on a namespace",
    )  # fmt: skip
    MISPLACED_LABEL = (
        "MisplacedLabel", Level.ANNOTATION,
        "the label sidecar-injection is an annotation, or is not in the pod template",
        "move it to the labels of the pod template, or of the namespace",
    )  # fmt: skip
    UNKNOWN_LABEL = (
        "UnknownLabel", Level.ANNOTATION, "a label is only similar to ours",
        "write the label sidecar-injection",
    )  # fmt: skip


BY_CODE: Mapping[str, Reason] = {reason.value: reason for reason in Reason}
"""For a code in a pod's annotation, which anybody can write: it may be none."""


class Conflict(Exception):
    """An injection's parts cannot be added, so none of them is."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
