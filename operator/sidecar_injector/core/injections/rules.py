"""The rules for an injection that its schema cannot express.

Some repeat a CEL rule of the CRDs, for injections from files; the others are not possible in CEL.
"""

from __future__ import annotations

import collections
import itertools
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import parameters
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.pods import annotation, formats, selectors

MAX_NAME = 63
NATIVE_FIELDS = ("containers", "initContainers")


def problems(*, kind: str, name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Mistakes in a spec that its schema accepts. With one of them it is never applied."""
    yield from _name(name)
    yield from itertools.starmap(
        Problem, selectors.problems(spec.get("selector"), path="spec.selector")
    )
    if kind == names.CLUSTER_KIND:
        yield from itertools.starmap(
            Problem,
            selectors.problems(spec.get("namespaceSelector"), path="spec.namespaceSelector"),
        )
        yield from _opt_out(spec)
    yield from parameters.problems(spec)
    yield from _content(spec)
    yield from _application(spec.get("applicationContainers") or {})
    template = spec.get("template") or {}
    yield from _metadata(template.get("metadata") or {})
    yield from _containers(template.get("spec") or {})
    yield from _volumes(template.get("spec") or {})


def _name(name: str) -> Iterator[Problem]:
    # With generateName there is no name yet; the API server chooses a valid one.
    if name and not formats.DNS_SUBDOMAIN.accepts(name):
        yield Problem("metadata.name", formats.DNS_SUBDOMAIN.refusal(name))
    if len(name) > MAX_NAME:
        yield Problem(
            "metadata.name", f"{name!r} has {len(name)} characters, at most {MAX_NAME} fit"
        )
    if annotation.is_word(name):
        yield Problem(
            "metadata.name", f"{name!r} would be read as a yes or a no in a pod's annotation"
        )


def _opt_out(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Repeats a CEL rule."""
    if spec.get("optOut") == "Forbidden" and spec.get("activation") == "OnRequest":
        sentence = "must be Allowed with activation OnRequest: a pod that does not ask gets nothing"
        yield Problem("spec.optOut", sentence)


def _application(applied: Mapping[str, Any]) -> Iterator[Problem]:
    in_env = {variable.get("name") for variable in applied.get("env") or ()}
    for index, variable in enumerate(applied.get("appendEnv") or ()):
        if variable.get("name") in in_env:
            yield Problem(
                f"spec.applicationContainers.appendEnv[{index}].name",
                (f"{variable['name']!r} is in env too: appendEnv alone sets it where it is absent"),
            )


def _content(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Repeats a CEL rule: lists, maps and texts must not be empty, other parts must not be null."""
    template, applied = spec.get("template") or {}, spec.get("applicationContainers") or {}
    in_lists = [applied.get(field) for field in ("env", "envFrom", "volumeMounts", "appendEnv")]
    in_spec = (template.get("spec") or {}).values()
    in_metadata = (template.get("metadata") or {}).values()
    has_content = (
        any(in_lists) or any(in_metadata) or any(part not in (None, "", []) for part in in_spec)
    )
    if not has_content:
        yield Problem(
            "spec",
            (
                "has nothing to inject: give at least one container, volume, label or other part"
                " in template or applicationContainers"
            ),
        )


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Problem]:
    path = "spec.template.metadata"
    for key, value in (metadata.get("labels") or {}).items():
        where = f"{path}.labels[{key}]"
        if key == names.INJECTION_LABEL or is_reserved(key):
            yield Problem(where, "is reserved for the injector")
        # The value of a token is only known with the pod, and is checked then.
        has_token = any(parameters.tokens(value, path=where))
        yield from itertools.starmap(
            Problem, selectors.label_problems(key, "" if has_token else value, path=where)
        )
    for key in metadata.get("annotations") or {}:
        where = f"{path}.annotations[{key}]"
        if is_reserved(key):
            yield Problem(where, "is reserved for the injector")
        if not selectors.is_qualified_name(key.lower()):
            yield Problem(where, f"key {key!r} is no annotation key")


def is_reserved(key: str) -> bool:
    """Whether a label or annotation key belongs to us, so that no template may set it."""
    return key.startswith((f"{names.GROUP}/", f"{names.TUTORIAL_GROUP}/"))


def _containers(spec: Mapping[str, Any]) -> Iterator[Problem]:
    count = collections.Counter(
        container.get("name") for field in NATIVE_FIELDS for container in spec.get(field) or ()
    )
    for field in NATIVE_FIELDS:
        for index, container in enumerate(spec.get(field) or ()):
            where = f"spec.template.spec.{field}[{index}]"
            if count[container.get("name")] > 1:
                yield Problem(
                    f"{where}.name",
                    (
                        f"{container.get('name')!r} is used more than once;"
                        " names are unique over containers and initContainers"
                    ),
                )
            if not container.get("image"):
                yield Problem(f"{where}.image", "is required")
            if field == "containers" and container.get("restartPolicy") is not None:
                yield Problem(
                    f"{where}.restartPolicy",
                    (
                        "must be left out: spec.sidecarMode decides it (Native sets Always); a"
                        " native sidecar may also be written under initContainers"
                    ),
                )
            yield from _ports_and_mounts(container, path=where)


def _ports_and_mounts(container: Mapping[str, Any], *, path: str) -> Iterator[Problem]:
    """Mistakes within one container for which the API server would refuse the pod."""
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        mount_path = posixpath.normpath(str(mount.get("mountPath")))
        if mount_path in seen:
            yield Problem(
                f"{path}.volumeMounts[{index}].mountPath", f"{mount_path!r} is mounted twice"
            )
        seen.add(mount_path)
    named: set[str] = set()
    for index, port in enumerate(container.get("ports") or ()):
        name = port.get("name")
        if name and name in named:
            yield Problem(f"{path}.ports[{index}].name", f"{name!r} is used more than once")
        named.add(name)


def _volumes(spec: Mapping[str, Any]) -> Iterator[Problem]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        if len(sources) > 1:
            yield Problem(
                f"spec.template.spec.volumes[{index}]",
                (
                    f"has {len(sources)} sources ({', '.join(sorted(sources))}),"
                    " exactly one is accepted"
                ),
            )
