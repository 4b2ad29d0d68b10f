"""One injection as expressions: whether it applies, what becomes of it, and what it adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from sidecar_injector.core import patch
from sidecar_injector.core.injections import model
from sidecar_injector.core.linting import trial
from sidecar_injector.core.merging import additions, budget, container_additions, order, render
from sidecar_injector.core.merging.status_annotation import json_text
from sidecar_injector.core.policies import cel, doubts, filling, pod_facts, trials
from sidecar_injector.core.reasons import Reason

Json = dict[str, Any]
DEFER: Final = "?"
"""The code of an injection that only the webhook can decide about on this pod."""
LEFT_OUT: Final = "leftOut"
"""The kind of a part that is not added, as a variable may come from elsewhere."""
SUFFIX: Final = ',"suffix":'


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


@dataclasses.dataclass(slots=True, kw_only=True)
class Compiled:
    """What a chain needs of one injection. All texts are expressions."""

    injection: model.Injection
    index: int
    matches: str
    work: tuple[int, int]
    """Parts of the budget that it takes, and for each container of the pod."""
    code: str = ""
    """The reason's code, or DEFER."""
    is_native: str = "false"
    lists: dict[str, str] = dataclasses.field(default_factory=dict)
    """Items for the named lists of the spec, by list."""
    members: dict[str, list[Member]] = dataclasses.field(default_factory=dict)
    items: list[Item] = dataclasses.field(default_factory=list)
    received: list[Received] = dataclasses.field(default_factory=list)
    records: list[str] = dataclasses.field(default_factory=list)
    """Lists with JSON of what is recorded as `patched`."""
    left_out: str = "[]"
    """Paths of what is not added."""
    local: list[str] = dataclasses.field(default_factory=list)
    """Lists with the names of added volumes that are on the node's disk."""

    @property
    def injected(self) -> str:
        """Whether the pod gets it."""
        return f"variables.inj[{self.index}]"

    def is_first(self, field: str) -> bool:
        """Whether its containers come before those of the pod."""
        return order.is_first(self.injection.spec.get("placement") or {}, field)


def compiled(
    injection: model.Injection,
    variables: cel.Variables,
    *,
    index: int,
    results: list[trial.TrialResult],
    shadowing: Collection[str],
    minor: int | None,
) -> Compiled:
    """The injection as expressions, with its variables defined.

    `results` are of `trials.of`; `shadowing` are the namespaces in which its bare name means
    another injection.
    """
    return _Compiler(injection, variables, index, minor, results).compile(shadowing)


def matches(injection: model.Injection, shadowing: Collection[str]) -> str:
    """Whether it applies to a pod in scope, as `matching.MATCH_RULES` say."""
    spec, name = injection.spec, cel.text(injection.name)
    listed = f"{cel.text(injection.reference)} in variables.listed"
    if injection.is_cluster:
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
    spec, applied = injection.template_spec, injection.spec.get("applicationContainers") or {}
    parts = {f"container {container['name']}" for container in pod_facts.containers(injection)}
    parts |= {f"volume {volume['name']}" for volume in spec.get("volumes") or ()}
    for field in ("labels", "annotations"):
        parts |= {f"{field[:-1]} {key}" for key in injection.template_metadata.get(field) or ()}
    for field, keys in additions.LISTS.items():
        for item in spec.get(field) or ():
            value = [item.get(key) for key in keys] if keys else item.get("key")
            parts.add(f"{field} {json_text(value)}")
    for field in ("env", "appendEnv"):
        parts |= {f"variable {variable['name']}" for variable in applied.get(field) or ()}
    for mount in applied.get("volumeMounts") or ():
        parts.add(f"mount {container_additions.clean_path(mount['mountPath'])}")
    parts |= {f"envFrom {pod_facts.source_key(source)}" for source in applied.get("envFrom") or ()}
    return parts


class _Compiler:
    def __init__(
        self,
        injection: model.Injection,
        variables: cel.Variables,
        index: int,
        minor: int | None,
        results: list[trial.TrialResult],
    ) -> None:
        self._injection = injection
        self._variables = variables
        self._index = index
        self._minor, self._results = minor, results
        self._filling = filling.Filling(injection, variables, index)
        properties = injection.spec_schema["properties"]
        filled = {
            part: self._filling.fill(injection.spec.get(part) or {}, shape=properties[part])
            for part in ("template", "applicationContainers")
        }
        self._spec: Json = filled["template"].get("spec") or {}
        self._metadata: Json = filled["template"].get("metadata") or {}
        self._applied: Json = filled["applicationContainers"]
        self._containers: list[Json] = self._spec.get("containers") or []
        self._inits: list[Json] = self._spec.get("initContainers") or []
        self._volumes: list[Json] = self._spec.get("volumes") or []

    def compile(self, shadowing: Collection[str]) -> Compiled:
        mode = self._injection.spec.get("sidecarMode") or "Auto"
        piece = Compiled(
            injection=self._injection,
            index=self._index,
            matches=matches(self._injection, shadowing),
            work=budget.weight(self._injection),
            is_native={"Auto": "variables.ends", "Native": "true"}.get(mode, "false"),
        )
        added = self._added_volumes()
        piece.lists = self._lists(piece, added)
        piece.local = [
            cel.either(absent, f"[{cel.text(volume['name'])}]")
            for volume, absent in added
            if render.is_local(volume)
        ]
        piece.members = {field: [*self._members(field)] for field in ("labels", "annotations")}
        piece.items = [*self._items()]
        for item in piece.items:
            record = {"op": "add", "path": f"/spec/{item.field}", "value": item.value}
            piece.records.append(cel.either(item.absent, f"[{cel.text(json_text(record))}]"))
        lacking = [self._receive(piece, field) for field in self._receiving_lists()]
        piece.code = self._code([
            *(absent for _, absent in added),
            *(member.absent for members in piece.members.values() for member in members),
            *(item.absent for item in piece.items),
            *lacking,
        ])  # fmt: skip
        return piece

    def _let(self, name: str, expression: str) -> cel.Cel:
        return self._variables.let(f"{name}{self._index}", expression)

    def _sum(self, name: str, parts: Iterable[str]) -> str:
        return self._variables.sum(f"{name}{self._index}", parts)

    # What becomes of it

    def _code(self, lacking: Iterable[str]) -> str:
        steps = [*self._steps()]
        if not (self._containers or self._inits):
            steps.append((f"!({cel.some(lacking)})", Reason.ALREADY_INJECTED.value))
        steps += self._security()
        code = cel.text(Reason.INJECTED.value)
        for number, (condition, reason) in reversed([*enumerate(steps)]):
            if condition == "false":
                continue
            test = self._variables.short(f"w{self._index}_{number}", condition)
            if len(code) > cel.SHORT:
                code = self._let(f"y{number}_", code)
            word = reason if isinstance(reason, cel.Cel) else cel.text(reason)
            code = f"{test} ? {word} : ({code})"
        doubtful = doubts.any_of(self._injection)
        if doubtful != "false":
            doubtful = self._variables.short(f"d{self._index}_", doubtful)
            code = f"{doubtful} ? {cel.text(DEFER)} : ({code})"
        return self._let("code", code)

    def _steps(self) -> Iterator[tuple[str, str]]:
        """Why it cannot be done, in the order in which `merging` finds the reasons."""
        for condition, reason in self._filling.steps:
            yield condition, reason.value
        names = [container["name"] for container in (*self._inits, *self._containers)]
        there = cel.some(f"{cel.text(name)} in variables.names" for name in names)
        yield there, Reason.CONTAINER_CONFLICT.value
        for volume in self._volumes:
            if stored := pod_facts.stored_volume(volume):
                present = f"{cel.text(volume['name'])} in variables.volumes"
                differs = f"!({cel.literal(stored)} in object.spec.volumes)"
                need = self._need(volume["name"])
                yield cel.every([need, present, differs]), Reason.VOLUME_CONFLICT.value
        for condition in self._undefined_mounts():
            yield condition, Reason.MISSING_VOLUME.value
        if troubles := self._troubles():
            first = self._let("t", troubles)
            yield f"size({first}) > 0", cel.Cel(f"{first}[0]")

    def _undefined_mounts(self) -> Iterator[str]:
        defined = {volume["name"] for volume in self._volumes}
        for name in self._mounted():
            if name not in defined:
                yield f"!({cel.text(name)} in variables.volumes)"
        for name in self._mounted_by_others():
            if name not in defined:
                absent = f"!({cel.text(name)} in variables.volumes)"
                yield cel.every([self._has_receivers(), absent])

    def _security(self) -> Iterator[tuple[str, str]]:
        forbidden = trials.forbidden(self._results, minor=self._minor)
        for is_always, code in ((False, DEFER), (True, Reason.POD_SECURITY.value)):
            if facts := [text for text, always in forbidden.items() if always is is_always]:
                yield f"variables.secure in {cel.strings(facts)}", code

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
        is_through = name in self._mounted_by_others()
        received = self._has_receivers() if is_through else "false"
        return cel.some([f"{cel.text(name)} in variables.mounted", received])

    def _added_volumes(self) -> list[tuple[Json, str]]:
        """The volumes of the template, each with whether it is added."""
        return [
            (volume, cel.every([
                self._need(volume["name"]), f"!({cel.text(volume['name'])} in variables.volumes)"
            ]))
            for volume in self._volumes
        ]  # fmt: skip

    # Containers

    def _lists(self, piece: Compiled, added: list[tuple[Json, str]]) -> dict[str, str]:
        native = piece.is_native
        extra: Json = {"restartPolicy": cel.Cel('"Always"')}
        sidecars = [
            self._container(container, "b", extra, native) for container in self._containers
        ]
        plain = [self._container(container, "a", {}, "false") for container in self._inits]
        containers = self._let("s", self._sum("z", sidecars)) if sidecars else "[]"
        lists = {
            "containers": cel.either(native, "[]", containers),
            "initContainers": cel.total([self._sum("u", plain), cel.either(native, containers)]),
            "volumes": self._sum(
                "vv", [cel.either(absent, f"[{cel.literal(volume)}]") for volume, absent in added]
            ),
        }
        return {
            field: self._let(field, expression) if expression != "[]" else "[]"
            for field, expression in lists.items()
        }

    def _container(self, container: Json, name: str, extra: Json, condition: str) -> str:
        """A list with the container, whose long members are variables of their own."""
        members = {
            field: self._member(f"{name}{self._index}_{container['name']}_{field}", value)
            for field, value in container.items()
        }
        if condition == "true":
            members |= extra
        text = cel.literal(members)
        for key, value in extra.items() if condition not in ("true", "false") else ():
            optional = f"{condition} ? optional.of(dyn({value})) : optional.none()"
            text = f"{text[:-1]}, ?{cel.text(key)}: {optional}}}"
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

    # Members of maps, items of lists

    def _members(self, field: str) -> Iterator[Member]:
        for key, value in (self._metadata.get(field) or {}).items():
            yield Member(key, value, f"!({cel.text(key)} in variables.{field})")

    def _items(self) -> Iterator[Item]:
        for field, keys in additions.LISTS.items():
            for value in self._spec.get(field) or ():
                if keys:
                    same = cel.every(f"x.{key} == {cel.literal(value[key])}" for key in keys)
                else:
                    same = _same_toleration(value)
                present = f"object.spec.?{field}.orValue([]).exists(x, {same})"
                yield Item(field, value, f"!{present}")

    # What the pod's own containers receive. In these expressions `x` has the facts of one of them.

    def _receiving_lists(self) -> list[str]:
        return pod_facts.applied_lists(self._applied) if self._applied else []

    def _chosen(self) -> str:
        return pod_facts.is_selected(self._applied, "x.n")

    def _has_receivers(self) -> str:
        return cel.some(
            f"variables.{pod_facts.LISTS[field]}.exists(x, {self._chosen()})"
            for field in self._receiving_lists()
        )

    def _troubles(self) -> str:
        """A list whose first item is the code of the first container that cannot take all."""
        mounts = cel.some(map(_takes_path, self._applied.get("volumeMounts") or ()))
        texts = cel.some(
            f"({key} in x.e && has(x.v[x.e.lastIndexOf({key})].valueFrom))"
            for key in (
                cel.text(appended["name"]) for appended in self._applied.get("appendEnv") or ()
            )
        )
        if mounts == texts == "false":
            return ""
        code = cel.text("")
        for condition, reason in (
            (texts, Reason.ENV_CONFLICT),
            (mounts, Reason.MOUNT_PATH_CONFLICT),
        ):
            code = cel.either(condition, cel.text(reason.value), code)
        return cel.total(
            f"variables.{pod_facts.LISTS[field]}.filter(x, {self._chosen()}).map(x, {code})"
            '.filter(y, y != "")'
            for field in self._receiving_lists()
        )

    def _receive(self, piece: Compiled, field: str) -> str:
        """Add to `one` what the containers of a list receive; whether one of them lacks it."""
        facts, label = f"variables.{pod_facts.LISTS[field]}", f"{field[0]}{self._index}"
        pieces: dict[str, list[str]] = {}
        records, left_out = [], []
        for kind, absent, item, record in self._received(field):
            if kind == LEFT_OUT:
                left_out.append(cel.either(absent, f"[{item}]"))
                continue
            pieces.setdefault(kind, []).append(cel.either(absent, f"[{item}]"))
            records.append(cel.either(absent, f"[{record}]"))
        lacks = []
        for kind, items in pieces.items():
            for name in self._of_each(f"g{label}{kind}", facts, items):
                piece.received.append(Received(field, kind, name))
                lacks.append(f"{name}.exists(x, size(x) > 0)")
        piece.records.append(self._flat(f"r{label}_", facts, records))
        left = self._flat(f"l{label}_", facts, left_out)
        piece.left_out = cel.total([piece.left_out, left])
        return cel.some(lacks)

    def _of_each(self, name: str, facts: str, parts: list[str]) -> list[str]:
        """Variables, each a list with one list for each container; together they have all parts."""
        return [
            self._variables.let(
                f"{name}{number}_",
                f"{facts}.map(x, {cel.either(self._chosen(), cel.total(group))})",
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
        is_certain = applied.get("onEnvFrom") == "Override"
        for source in applied.get("envFrom") or ():
            stored = container_additions.stored_source(source)
            absent = f"!({cel.text(pod_facts.source_key(source))} in x.f)"
            yield "envFrom", absent, cel.literal(stored), _record(path, "/envFrom", value=stored)
        for variable in applied.get("env") or ():
            yield from self._variable(path, variable, is_certain=is_certain)
        for mount in applied.get("volumeMounts") or ():
            clean = cel.text(container_additions.clean_path(mount["mountPath"]))
            steps = patch.pointer(("volumeMounts", mount["mountPath"]))
            yield "volumeMounts", f"!({clean} in x.m)", cel.literal(mount), _record(path, steps)
        for appended in applied.get("appendEnv") or ():
            created = {"name": appended["name"], "value": appended["value"]}
            yield from self._variable(path, created, is_certain=is_certain)
            yield _appended(path, appended)

    def _variable(
        self, path: str, variable: Json, *, is_certain: bool
    ) -> Iterator[tuple[str, str, str, str]]:
        name = variable["name"]
        steps = patch.pointer(("env", name))
        absent, doubtful = f"!({cel.text(name)} in x.e)", pod_facts.uncertain(name)
        if not is_certain:
            absent = f"({absent} && !{doubtful})"
            yield LEFT_OUT, doubtful, _quoted(path, steps), ""
        yield "env", absent, cel.literal(variable), _record(path, steps)


def _quoted(path: str, steps: str) -> str:
    """JSON of the path of something in the container `x`."""
    start, end = f'"{path}', f'{json_text(steps)[1:-1]}"'
    return f"{cel.text(start)} + x.n + {cel.text(end)}"


def _record(path: str, steps: str, *, value: Any = None) -> str:
    end = "}" if value is None else f',"value":{json_text(value)}}}'
    start = cel.text('{"op":"add","path":')
    return f"{start} + {_quoted(path, steps)} + {cel.text(end)}"


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
    start, steps = cel.text('{"op":"append","path":'), patch.pointer(("env", name, "value"))
    suffix = f'{cel.text(SUFFIX)} + ({current} == "" ? {alone} : {behind})'
    return "append", lacking, item, f"{start} + {_quoted(path, steps)} + {suffix}"


def _takes_path(mount: Json) -> str:
    """Whether the container mounts something else there; the first mount at a path counts."""
    path = cel.text(container_additions.clean_path(mount["mountPath"]))
    wanted = cel.text(f"{mount['name']} {mount.get('subPath') or ''}")
    return f"({path} in x.m && x.w[x.m.indexOf({path})] != {wanted})"


def _same_toleration(toleration: Json) -> str:
    seconds = toleration.get("tolerationSeconds")
    return cel.every(
        [
            *(
                f'x.?{field}.orValue("") == {cel.text(toleration.get(field) or "")}'
                for field in ("key", "operator", "value", "effect")
            ),
            "!has(x.tolerationSeconds)"
            if seconds is None
            else f"x.?tolerationSeconds.orValue(0) == {seconds} && has(x.tolerationSeconds)",
        ]
    )
