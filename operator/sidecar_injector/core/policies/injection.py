"""One injection as expressions: whether it applies, what becomes of it, and what it adds."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector.core import patch
from sidecar_injector.core.injections import model
from sidecar_injector.core.merging import additions, budget, container_additions, order, render
from sidecar_injector.core.merging.status_annotation import json_text
from sidecar_injector.core.policies import cel, doubts, filling, pod_facts
from sidecar_injector.core.reasons import Reason

Json = dict[str, Any]
DEFER: Final = "?"
"""The code of an injection that only the webhook can decide about on this pod."""
LEFT_OUT: Final = "leftOut"
"""The kind of a part that is not added, as a variable may come from elsewhere."""


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A label or an annotation: added where `absent` is true."""

    key: str
    value: str
    absent: str


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """An item for a list of the pod's spec: added where `absent` is true."""

    field: str
    value: Any
    absent: str


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """What the containers of one list receive: `items` is a list with one list for each of them.

    The kind is `append`, or the field of a container.
    """

    field: str
    kind: str
    items: str


def matches(injection: model.Injection, shadowing: Collection[str] | None) -> str:
    """Whether it applies to a pod in scope, as `matching.MATCH_RULES` say.

    `shadowing` are the namespaces in which its bare name means another injection; None if they are
    not said, and then only its full name means it.
    """
    spec, name = injection.spec, cel.text(injection.name)
    listed = f"{cel.text(injection.reference)} in variables.listed"
    if injection.is_cluster and shadowing is not None:
        other = f" && !(request.namespace in {cel.strings(sorted(shadowing))})" if shadowing else ""
        listed = f"({listed} || ({name} in variables.listed{other}))"
    if spec.get("activation") == "OnRequest":
        wanted = f'(variables.wish == "yes" || {listed})'
    else:
        wanted = f'(variables.wish == "only" ? {listed} : variables.wish != "no")'
    return cel.every(
        [
            where(injection),
            cel.selector(spec.get("namespaceSelector"), "variables.nslabels"),
            cel.selector(spec.get("selector"), "variables.labels"),
            "true" if injection.is_mandatory else wanted,
            "true" if spec.get("hostNetworkPods") == "Inject" else "!variables.hostnet",
        ]
    )


def where(injection: model.Injection) -> str:
    """Whether the pod is in the namespace of the injection; always for one of the cluster."""
    if injection.is_cluster:
        return "true"
    return f"request.namespace == {cel.text(injection.namespace or '')}"


def shared_parts(injection: model.Injection) -> set[str]:
    """What a pod has only once of what is added, in words."""
    spec, applied = injection.template_spec, pod_facts.applied(injection)
    parts = {f"container {container['name']}" for container in pod_facts.containers(injection)}
    parts |= {f"volume {volume['name']}" for volume in spec.get("volumes") or ()}
    for field in ("labels", "annotations"):
        parts |= {f"{field[:-1]} {key}" for key in injection.template_metadata.get(field) or ()}
    for field, keys in additions.LISTS.items():
        for item in spec.get(field) or ():
            # Absent and empty are one.
            value = [item.get(key) or "" for key in keys or ("key",)]
            parts.add(f"{field} {json_text(value)}")
    for field in ("env", "appendEnv"):
        parts |= {f"variable {variable['name']}" for variable in applied.get(field) or ()}
    for mount in applied.get("volumeMounts") or ():
        parts.add(f"mount {container_additions.clean_path(mount['mountPath'])}")
    parts |= {f"envFrom {pod_facts.source_key(source)}" for source in applied.get("envFrom") or ()}
    return parts


class Compiled:
    """What a chain needs of one injection. All texts are expressions; its variables are defined.

    `matches` is of the function of this name, `forbidden` of `trials.forbidden`.
    """

    def __init__(
        self,
        injection: model.Injection,
        variables: cel.Variables,
        index: int,
        *,
        matches: str,
        forbidden: Mapping[str, bool],
    ) -> None:
        self.injection = injection
        self.index = index
        self.matches = matches
        self.work = budget.weight(injection)
        """Parts of the budget that it takes, and for each container of the pod."""
        mode = injection.spec.get("sidecarMode") or "Auto"
        self.is_native = {"Auto": "variables.ends", "Native": "true"}.get(mode, "false")
        self._variables = variables
        self._filling = filling.Filling(injection, variables, index)
        template = self._filling.part("template")
        self._spec: Json = template.get("spec") or {}
        self._containers: list[Json] = self._spec.get("containers") or []
        self._inits: list[Json] = self._spec.get("initContainers") or []
        self._applied = self._filling.part("applicationContainers")
        self._chosen = pod_facts.is_selected(self._applied, "x.n")
        self._has_receivers = pod_facts.any_receives(self._applied)
        self._added = [*self._volumes()]
        self.lists = self._lists()
        """Items for the named lists of the spec, by list."""
        self.members = _members(template.get("metadata") or {})
        self.items = [*self._items()]
        self.records = [*map(_record_of_item, self.items)]
        """Lists with JSON of what is recorded as `patched`."""
        self.left_out = "[]"
        """Paths of what is not added."""
        self.received: list[Received] = []
        for field in pod_facts.applied_lists(self._applied):
            self._receive(field)
        self.code = self._code(forbidden)
        """The reason's code, or DEFER."""

    @property
    def injected(self) -> str:
        """Whether the pod gets it."""
        return f"variables.inj[{self.index}]"

    @property
    def local(self) -> list[str]:
        """Lists with the names of added volumes that are on the node's disk."""
        return [
            cel.either(absent, f"[{cel.text(volume['name'])}]")
            for volume, absent in self._added
            if render.is_local(volume)
        ]

    def is_first(self, field: str) -> bool:
        """Whether its containers come before those of the pod."""
        return order.is_first(self.injection.spec.get("placement") or {}, field)

    def _let(self, name: str, expression: str) -> cel.Cel:
        return self._variables.let(f"{name}{self.index}", expression)

    def _sum(self, name: str, parts: Iterable[str]) -> str:
        return self._variables.sum(f"{name}{self.index}", parts)

    # What becomes of it

    def _code(self, forbidden: Mapping[str, bool]) -> str:
        steps = [*self._steps()]
        if not (self._containers or self._inits):
            steps.append((f"!({cel.some(self._lacking())})", Reason.ALREADY_INJECTED.value))
        for is_always, reason in ((False, DEFER), (True, Reason.POD_SECURITY.value)):
            if facts := [text for text, always in forbidden.items() if always is is_always]:
                steps.append((f"variables.secure in {cel.strings(facts)}", reason))
        code = cel.text(Reason.INJECTED.value)
        for number, (condition, reason) in reversed([*enumerate(steps)]):
            if condition == "false":
                continue
            test = self._variables.short(f"w{self.index}_{number}", condition)
            if len(code) > cel.SHORT:
                code = self._let(f"y{number}_", code)
            code = f"{test} ? {cel.literal(reason)} : ({code})"
        doubtful = doubts.any_of(self.injection)
        if doubtful != "false":
            doubtful = self._variables.short(f"d{self.index}_", doubtful)
            code = f"{doubtful} ? {cel.text(DEFER)} : ({code})"
        return self._let("code", code)

    def _lacking(self) -> Iterator[str]:
        """For each part that is no container, whether the pod lacks it."""
        yield from (absent for _, absent in self._added)
        yield from (member.absent for members in self.members.values() for member in members)
        yield from (item.absent for item in self.items)
        for field in pod_facts.LISTS:
            lists = (part.items for part in self.received if part.field == field)
            yield cel.some(f"{items}.exists(x, size(x) > 0)" for items in lists)

    def _steps(self) -> Iterator[tuple[str, str]]:
        """Why it cannot be done, in the order in which `merging` finds the reasons."""
        yield from self._filling.steps
        names = [container["name"] for container in (*self._inits, *self._containers)]
        there = cel.some(f"{cel.text(name)} in variables.names" for name in names)
        yield there, Reason.CONTAINER_CONFLICT.value
        for volume, _ in self._added:
            if stored := pod_facts.stored_volume(volume):
                present = f"{cel.text(volume['name'])} in variables.volumes"
                differs = f"!({cel.literal(stored)} in object.spec.volumes)"
                need = self._need(volume["name"])
                yield cel.every([need, present, differs]), Reason.VOLUME_CONFLICT.value
        defined = {volume["name"] for volume, _ in self._added}
        mounts = [(name, "true") for name in self._mounted()]
        mounts += [(name, self._has_receivers) for name in self._mounted_by_others()]
        for name, need in mounts:
            if name not in defined:
                absent = f"!({cel.text(name)} in variables.volumes)"
                yield cel.every([need, absent]), Reason.MISSING_VOLUME.value
        if troubles := self._troubles():
            first = self._let("t", troubles)
            yield f"size({first}) > 0", cel.Cel(f"{first}[0]")

    # Volumes

    def _mounted(self) -> list[str]:
        """The volumes that the template's containers mount, each once."""
        mounts = (
            mount["name"]
            for container in (*self._inits, *self._containers)
            for mount in container.get("volumeMounts") or ()
        )
        return [*dict.fromkeys(mounts)]

    def _mounted_by_others(self) -> list[str]:
        return [mount["name"] for mount in self._applied.get("volumeMounts") or ()]

    def _need(self, name: str) -> str:
        """Whether the pod needs this volume of the template."""
        if name in self._mounted():
            return "true"
        received = self._has_receivers if name in self._mounted_by_others() else "false"
        return cel.some([f"{cel.text(name)} in variables.mounted", received])

    def _volumes(self) -> Iterator[tuple[Json, str]]:
        """The volumes of the template, each with whether it is added."""
        for volume in self._spec.get("volumes") or ():
            name = volume["name"]
            absent = f"!({cel.text(name)} in variables.volumes)"
            yield volume, cel.every([self._need(name), absent])

    # Containers

    def _lists(self) -> dict[str, str]:
        native = self.is_native
        sidecars = [self._container(container, "b", native) for container in self._containers]
        plain = [self._container(container, "a", "false") for container in self._inits]
        containers = self._let("s", self._sum("z", sidecars)) if sidecars else "[]"
        volumes = [cel.either(absent, f"[{cel.literal(volume)}]") for volume, absent in self._added]
        lists = {
            "containers": cel.either(native, "[]", containers),
            "initContainers": cel.total([self._sum("u", plain), cel.either(native, containers)]),
            "volumes": self._sum("vv", volumes),
        }
        return {
            field: self._let(field, expression) if expression != "[]" else "[]"
            for field, expression in lists.items()
        }

    def _container(self, container: Json, name: str, always: str) -> str:
        """A list with the container, whose long members are variables of their own; it restarts
        always where that is true."""
        members = {
            field: self._member(f"{name}{self.index}_{container['name']}_{field}", value)
            for field, value in container.items()
        }
        if always == "true":
            members["restartPolicy"] = "Always"
        text = cel.literal(members)
        if always not in ("true", "false"):
            policy = f'{always} ? optional.of(dyn("Always")) : optional.none()'
            text = f'{text[:-1]}, ?"restartPolicy": {policy}}}'
        return f"[{text}]"

    def _member(self, name: str, value: Any) -> Any:
        """The value, or a variable for it if it is long."""
        if not isinstance(value, dict | list) or len(cel.literal(value)) < cel.SHORT // 6:
            return value
        name = name.replace("-", "_")
        if isinstance(value, dict) or not cel.is_uniform(value):
            return self._variables.let(name, cel.literal(value))
        parts = [f"[{cel.literal(item)}]" for item in value]
        return self._variables.let(name, self._variables.sum(f"{name}_", parts))

    def _items(self) -> Iterator[Item]:
        for field, keys in additions.LISTS.items():
            for value in self._spec.get(field) or ():
                if keys:
                    # The name of a pull secret may be missing; the other keys are always texts.
                    same = cel.every(
                        f'x.?{key}.orValue("") == {cel.literal(value[key])}' for key in keys
                    )
                else:
                    same = _same_toleration(value)
                present = f"object.spec.?{field}.orValue([]).exists(x, {same})"
                yield Item(field, value, f"!{present}")

    # What the pod's own containers receive. In these expressions `x` has the facts of one of them.

    def _troubles(self) -> str:
        """A list whose first item is the code of the first container that cannot take all."""
        mounts = cel.some(map(_takes_path, self._applied.get("volumeMounts") or ()))
        texts = cel.some(
            f"({key} in x.e && has(x.v[x.e.lastIndexOf({key})].valueFrom))"
            for appended in self._applied.get("appendEnv") or ()
            for key in [cel.text(appended["name"])]
        )
        if mounts == texts == "false":
            return ""
        code = cel.either(texts, cel.text(Reason.ENV_CONFLICT.value), '""')
        code = cel.either(mounts, cel.text(Reason.MOUNT_PATH_CONFLICT.value), code)
        return cel.total(
            f"variables.{pod_facts.LISTS[field]}.filter(x, {self._chosen}).map(x, {code})"
            '.filter(y, y != "")'
            for field in pod_facts.applied_lists(self._applied)
        )

    def _receive(self, field: str) -> None:
        """Note what the containers of a list receive."""
        facts, label = f"variables.{pod_facts.LISTS[field]}", f"{field[0]}{self.index}"
        parts: dict[str, list[str]] = collections.defaultdict(list)
        records = []
        for kind, absent, item, record in self._received(field):
            parts[kind].append(cel.either(absent, f"[{item}]"))
            if record:
                records.append(cel.either(absent, f"[{record}]"))
        left_out = parts.pop(LEFT_OUT, [])
        for kind, items in parts.items():
            names = self._of_each(f"g{label}{kind}", facts, items)
            self.received += [Received(field, kind, name) for name in names]
        self.records.append(self._flat(f"r{label}_", facts, records))
        left = self._flat(f"l{label}_", facts, left_out)
        self.left_out = cel.total([self.left_out, left])

    def _of_each(self, name: str, facts: str, parts: list[str]) -> list[str]:
        """Variables, each a list with one list for each container; together they have all parts."""
        return [
            self._variables.let(
                f"{name}{number}_",
                f"{facts}.map(x, {cel.either(self._chosen, cel.total(group))})",
            )
            for number, group in enumerate(cel.grouped(parts))
            if group
        ]

    def _flat(self, name: str, facts: str, parts: list[str]) -> str:
        """A list of the parts, container by container."""
        groups = self._of_each(name, facts, parts)
        if not groups:
            return "[]"
        items = cel.total(f"{group}[i]" for group in groups)
        return f"{facts}.transformList(i, x, {items}).flatten()"

    def _received(self, field: str) -> Iterator[tuple[str, str, str, str]]:
        """Kind, condition, item and record of each part, in the order in which they are added."""
        applied, path = self._applied, f"/spec/{field}/"
        for source in applied.get("envFrom") or ():
            stored = container_additions.stored_source(source)
            absent = f"!({cel.text(pod_facts.source_key(source))} in x.f)"
            rest = cel.text(f',"value":{json_text(stored)}}}')
            yield "envFrom", absent, cel.literal(stored), _record("add", path, "/envFrom", rest)
        for variable in applied.get("env") or ():
            yield from self._variable(path, variable)
        for mount in applied.get("volumeMounts") or ():
            clean = cel.text(container_additions.clean_path(mount["mountPath"]))
            record = _record("add", path, patch.pointer(("volumeMounts", mount["mountPath"])))
            yield "volumeMounts", f"!({clean} in x.m)", cel.literal(mount), record
        for appended in applied.get("appendEnv") or ():
            created = {"name": appended["name"], "value": appended["value"]}
            yield from self._variable(path, created)
            yield _appended(path, appended)

    def _variable(self, path: str, variable: Json) -> Iterator[tuple[str, str, str, str]]:
        name = variable["name"]
        steps, absent = patch.pointer(("env", name)), f"!({cel.text(name)} in x.e)"
        if self._applied.get("onEnvFrom") != "Override":
            doubtful = pod_facts.uncertain(name)
            absent = f"({absent} && !{doubtful})"
            yield LEFT_OUT, doubtful, _quoted(path, steps), ""
        yield "env", absent, cel.literal(variable), _record("add", path, steps)


def _members(metadata: Json) -> dict[str, list[Member]]:
    return {
        field: [
            Member(key, value, f"!({cel.text(key)} in variables.{field})")
            for key, value in (metadata.get(field) or {}).items()
        ]
        for field in ("labels", "annotations")
    }


def _record_of_item(item: Item) -> str:
    record = {"op": "add", "path": f"/spec/{item.field}", "value": item.value}
    return cel.either(item.absent, f"[{cel.text(json_text(record))}]")


def _quoted(path: str, steps: str) -> str:
    """JSON of the path of something in the container `x`."""
    start, end = f'"{path}', f'{json_text(steps)[1:-1]}"'
    return f"{cel.text(start)} + x.n + {cel.text(end)}"


def _record(operation: str, path: str, steps: str, rest: str = cel.text("}")) -> str:
    """JSON of what is recorded; `rest` is an expression for what comes behind the path."""
    start = cel.text(f'{{"op":"{operation}","path":')
    return f"{start} + {_quoted(path, steps)} + {rest}"


def _appended(path: str, appended: Json) -> tuple[str, str, str, str]:
    """The text behind the last variable of that name, if it is there and lacks the text."""
    name, value, separator = appended["name"], appended["value"], appended.get("separator", " ")
    key, at = cel.text(name), f"x.e.lastIndexOf({cel.text(name)})"
    current = f'x.v[{at}].?value.orValue("")'
    padded = f"({cel.text(separator)} + {current} + {cel.text(separator)})"
    wanted = cel.text(f"{separator}{value}{separator}")
    lacking = f"({key} in x.e && !{padded}.contains({wanted}))"
    longer = f'({current} == "" ? {cel.text(value)} : {current} + {cel.text(separator + value)})'
    item = f'{{"at": "/env/" + string({at}) + "/value", "value": {longer}}}'
    alone, behind = (cel.text(json_text(text) + "}") for text in (value, separator + value))
    start = cel.text(',"suffix":')
    suffix = f'{start} + ({current} == "" ? {alone} : {behind})'
    record = _record("append", path, patch.pointer(("env", name, "value")), suffix)
    return "append", lacking, item, record


def _takes_path(mount: Json) -> str:
    """Whether the container mounts something else there; the first mount at a path counts."""
    path = cel.text(container_additions.clean_path(mount["mountPath"]))
    wanted = cel.text(f"{mount['name']} {mount.get('subPath') or ''}")
    return f"({path} in x.m && x.w[x.m.indexOf({path})] != {wanted})"


def _same_toleration(toleration: Json) -> str:
    seconds = toleration.get("tolerationSeconds")
    texts = (
        f'x.?{field}.orValue("") == {cel.text(toleration.get(field) or "")}'
        for field in ("key", "operator", "value", "effect")
    )
    if seconds is None:
        same_seconds = "!has(x.tolerationSeconds)"
    else:
        same_seconds = f"x.?tolerationSeconds.orValue(0) == {seconds} && has(x.tolerationSeconds)"
    return cel.every([*texts, same_seconds])
