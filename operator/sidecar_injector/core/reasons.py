"""Every possible outcome of a decision, each with one sentence for people.

The codes are a contract: log lines, metric labels, events, the status annotation and `explain`
contain them. A code is never renamed or reused.
"""

from __future__ import annotations

import enum


class Level(enum.Enum):
    """What a reason is about. This decides where it is reported."""

    SCOPE = "the pod is out of scope"
    MATCH = "the injection does not apply"
    FIT = "the injection applies but cannot be done"
    DONE = "done"
    ANNOTATION = "the pod's words"


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


class Reason(enum.Enum):
    """The closed list of reason codes."""

    def __new__(cls, code: str, level: Level, sentence: str) -> Reason:
        member = object.__new__(cls)
        member._value_ = code
        member.level = level
        member.sentence = sentence
        return member

    level: Level
    sentence: str

    NAMESPACE_NOT_ENABLED = (
        "NamespaceNotEnabled", Level.SCOPE,
        "the namespace does not carry the label sidecar-injection=enabled",
    )  # fmt: skip
    NAMESPACE_EXCLUDED = (
        "NamespaceExcluded", Level.SCOPE,
        "pods of system namespaces and of the injector's own are never injected",
    )  # fmt: skip
    POD_LABEL_DISABLED = (
        "PodLabelDisabled", Level.SCOPE, "the pod carries the label sidecar-injection=disabled",
    )  # fmt: skip
    POD_ANNOTATION_DISABLED = (
        "PodAnnotationDisabled", Level.SCOPE, "the pod's annotation says no",
    )  # fmt: skip
    MIRROR_POD = (
        "MirrorPod", Level.SCOPE, "a mirror pod only shows a static pod and cannot be changed",
    )  # fmt: skip
    OWN_POD = ("OwnPod", Level.SCOPE, "the pod belongs to the injector itself")
    NOT_A_CREATE = (
        "NotACreate", Level.SCOPE, "containers can only be added while a pod is being created",
    )  # fmt: skip

    SELECTOR_MISMATCH = (
        "SelectorMismatch", Level.MATCH, "the selector does not match the pod's labels",
    )  # fmt: skip
    NAMESPACE_SELECTOR_MISMATCH = (
        "NamespaceSelectorMismatch", Level.MATCH,
        "the namespaceSelector does not match the namespace's labels",
    )  # fmt: skip
    NOT_REQUESTED = (
        "NotRequested", Level.MATCH,
        "activation is OnRequest and the pod's annotation does not ask for it",
    )  # fmt: skip
    NOT_LISTED = ("NotListed", Level.MATCH, "the pod's annotation lists other injections")
    SUSPENDED = ("Suspended", Level.MATCH, "the injection is suspended")
    HOST_NETWORK = (
        "HostNetwork", Level.MATCH,
        "the pod uses the host network and hostNetworkPods is Skip",
    )  # fmt: skip
    OPERATING_SYSTEM = (
        "OperatingSystem", Level.MATCH, "the pod is for another operating system",
    )  # fmt: skip

    INVALID = ("Invalid", Level.FIT, "the injection is not valid")
    CONTAINER_CONFLICT = (
        "ContainerConflict", Level.FIT, "the pod has another container of that name",
    )  # fmt: skip
    VOLUME_CONFLICT = (
        "VolumeConflict", Level.FIT, "the pod has another volume of that name",
    )  # fmt: skip
    MOUNT_PATH_CONFLICT = (
        "MountPathConflict", Level.FIT, "another volume is mounted at that path",
    )  # fmt: skip
    ENV_CONFLICT = (
        "EnvConflict", Level.FIT, "the value of a variable comes from elsewhere",
    )  # fmt: skip
    PORT_CONFLICT = (
        "PortConflict", Level.FIT, "the number or the name of a port is taken",
    )  # fmt: skip
    MISSING_VOLUME = (
        "MissingVolume", Level.FIT, "a mounted volume is defined neither by template nor by pod",
    )  # fmt: skip
    MISSING_SERVICE_ACCOUNT = (
        "MissingServiceAccount", Level.FIT, "the ServiceAccount does not exist in the namespace",
    )  # fmt: skip
    MISSING_VALUE = (
        "MissingValue", Level.FIT, "a required value is not on the pod or its namespace",
    )  # fmt: skip
    INVALID_VALUE = ("InvalidValue", Level.FIT, "a value is outside what its parameter accepts")
    INJECTION_CONFLICT = (
        "InjectionConflict", Level.FIT, "an injection of higher order holds the same part",
    )  # fmt: skip
    TOO_MUCH_WORK = (
        "TooMuchWork", Level.FIT,
        "the pod and the injections before it are too large for this one to be added",
    )  # fmt: skip
    POD_SECURITY = (
        "PodSecurity", Level.FIT, "the namespace's enforced Pod Security level forbids the parts",
    )  # fmt: skip
    POD_WOULD_BE_INVALID = (
        "PodWouldBeInvalid", Level.FIT, "the API server would refuse the resulting pod",
    )  # fmt: skip

    INJECTED = ("Injected", Level.DONE, "added")
    ALREADY_INJECTED = ("AlreadyInjected", Level.DONE, "all of its parts are there already")
    OUTDATED = (
        "Outdated", Level.DONE, "parts of an older template are there and are kept",
    )  # fmt: skip

    UNKNOWN_INJECTION = (
        "UnknownInjection", Level.ANNOTATION,
        "the annotation lists an injection that does not exist",
    )  # fmt: skip
    INVALID_ANNOTATION = (
        "InvalidAnnotation", Level.ANNOTATION,
        "the annotation is neither yes, no nor a list of injection names",
    )  # fmt: skip
    UNKNOWN_ANNOTATION = (
        "UnknownAnnotation", Level.ANNOTATION, "an annotation is only similar to one of ours",
    )  # fmt: skip
    MISPLACED_ANNOTATION = (
        "MisplacedAnnotation", Level.ANNOTATION,
        "our annotation is a label, or is not in the pod template",
    )  # fmt: skip
    UNKNOWN_LABEL_VALUE = (
        "UnknownLabelValue", Level.ANNOTATION,
        "the label sidecar-injection is neither enabled nor disabled",
    )  # fmt: skip
    MISPLACED_LABEL = (
        "MisplacedLabel", Level.ANNOTATION,
        "the label sidecar-injection is an annotation, or is not in the pod template",
    )  # fmt: skip
    UNKNOWN_LABEL = (
        "UnknownLabel", Level.ANNOTATION, "a namespace's label is only similar to ours",
    )  # fmt: skip


class Conflict(Exception):
    """An injection's parts cannot be added, so none of them is."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
