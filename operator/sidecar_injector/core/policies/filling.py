"""Parameters and tokens of an injection, as expressions.

A value that may be any text goes only where any text is right: into `command`, `args` and the value
of a variable, or of an annotation that is not one of Kubernetes. Everywhere else a parameter needs
an `enum`, and each of its values is tried when the injection is compiled.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar_injector.core.injections import model, parameters, schema
from sidecar_injector.core.injections.schema import Problem, Schema
from sidecar_injector.core.linting import trial
from sidecar_injector.core.pods import quantity
from sidecar_injector.core.policies import cel, pod_facts
from sidecar_injector.core.reasons import Reason

Json = dict[str, Any]
MOST_CHOICES: Final = 64
"""Combinations of the values of all parameters with an `enum`."""
_BUILT_IN: Final = ("pod.namespace", "pod.serviceAccountName")
_ANY_TEXT = re.compile(
    r"\.(command|args)\[\d+\]$|\.env\[\d+\]\.value$"
    r"|^spec\.template\.metadata\.annotations\.(?!([^/]*\.)?kubernetes\.io/)"
)
_QUOTED_ALIKE = re.compile(r"[ -~\t\n\r]*")
"""Texts that the API server quotes as Python does."""


class Filling:
    """The values of the tokens of one injection.

    `steps` are the conditions under which a value is missing or not accepted, each with the code of
    the reason, in the order in which `parameters.resolve` finds them.
    """

    def __init__(self, injection: model.Injection, variables: cel.Variables, index: int) -> None:
        self.steps: list[tuple[str, str]] = []
        self._values: dict[str, str] = {
            "injection.name": injection.name,
            "pod.namespace": cel.Cel("request.namespace"),
            "pod.serviceAccountName": cel.Cel("variables.account"),
        }
        self._integers: dict[str, cel.Cel] = {}
        self._injection = injection
        for parameter in injection.spec.get("parameters") or ():
            self._declare(parameter, variables, index)

    def _declare(self, parameter: Mapping[str, Any], variables: cel.Variables, index: int) -> None:
        value, default = pod_facts.lookup(parameter), parameter.get("default")
        name = f"params.{parameter['name']}"
        text = cel.text("" if default is None else str(default))
        raw = variables.let(f"p{index}_{parameter['name']}", f"{value}.orValue({text})")
        if default is None:
            self.steps.append((f"!{value}.hasValue()", Reason.MISSING_VALUE.value))
        refused = cel.some(_refusals(parameter, raw))
        if refused != "false":
            self.steps.append((refused, Reason.INVALID_VALUE.value))
        if parameter.get("type") == "Integer":
            self._integers[name] = cel.Cel(f"int({raw})")
            raw = cel.Cel(f"string({self._integers[name]})")
        self._values[name] = raw

    def part(self, name: str) -> Json:
        """A part of the spec with its tokens filled in; empty if it is not there."""
        shape = self._injection.spec_schema["properties"][name]
        filled: Json = self._fill(self._injection.spec.get(name) or {}, shape=shape)
        return filled

    def _fill(self, tree: Any, *, shape: Schema, field: str = "") -> Any:
        """The tree with expressions in the place of tokens, as `parameters.substitute` fills it."""
        if isinstance(tree, dict):
            return {
                key: self._fill(item, shape=schema.member(shape, key), field=key)
                for key, item in tree.items()
            }
        if isinstance(tree, list):
            inner = schema.member(shape, None)
            return [self._fill(item, shape=inner, field=field) for item in tree]
        if not isinstance(tree, str) or not any(hint in tree for hint in parameters.HINT):
            return tree
        whole = parameters.TOKEN.fullmatch(tree)
        if whole and whole[1] in self._integers and not schema.is_text(shape):
            return self._integers[whole[1]]
        pieces = [*self._pieces(tree, is_doubled=field in parameters.EXPANDED)]
        has_expression = any(isinstance(piece, cel.Cel) for piece in pieces)
        return cel.joined(pieces) if has_expression else "".join(pieces)

    def _pieces(self, text: str, *, is_doubled: bool) -> Iterator[str]:
        end = 0
        for match in parameters.TOKEN.finditer(text):
            yield text[end : match.start()]
            end = match.end()
            value = self._values[match[1]] if match[1] else match[0]
            if not (match[1] and is_doubled):
                yield value
            elif isinstance(value, cel.Cel):
                yield cel.Cel(f'{value}.replace("$", "$$")')
            else:
                yield value.replace("$", "$$")
        yield text[end:]


def _refusals(parameter: Mapping[str, Any], raw: str) -> Iterator[str]:
    match parameter.get("type"):
        case "Integer":
            yield f"!{raw}.matches({cel.text('^-?[0-9]{1,18}$')})"
        case "Quantity":
            yield f"!{raw}.trim().matches({cel.text(f'^(?:{quantity.SYNTAX.pattern})$')})"
            yield f"size({raw}.trim()) > {quantity.MAX_LENGTH}"
    if accepted := [*map(str, parameter.get("enum") or ())]:
        yield f"!({raw} in {cel.strings(accepted)})"
    if pattern := parameter.get("pattern"):
        yield f"!{raw}.matches({cel.text(f'^(?:{pattern})$')})"


def problems(injection: model.Injection) -> Iterator[Problem]:
    """Tokens where a value may not be right, and parameters with too many or unknown values."""
    declared = injection.spec.get("parameters") or ()
    free = {
        f"params.{parameter['name']}" for parameter in declared if not parameter.get("enum")
    } | {*_BUILT_IN}
    for part in parameters.FILLED:
        for path, _, name in parameters.tokens(injection.spec.get(part), path=f"spec.{part}"):
            if name in free and not _ANY_TEXT.search(path):
                mend = "" if name in _BUILT_IN else ": give the parameter an enum"
                yield Problem(path, f"$({name}) may be any text here{mend}")
    yield from _unquotable(injection)
    count = math.prod(len(parameter.get("enum") or (1,)) for parameter in declared)
    if count > MOST_CHOICES:
        why = f"have {count} combinations of values, at most {MOST_CHOICES} are tried"
        yield Problem("spec.parameters", why)
    for index, parameter in enumerate(declared):
        if trial.guess(parameter) is None:
            yield Problem(f"spec.parameters[{index}].pattern", "no value is known that matches it")
    uses = sum(injection.token_uses.values())
    if 2 * uses * pod_facts.LONGEST_VALUE > parameters.MAX_FILLED:
        yield Problem("spec", f"has {uses} tokens, which may fill in too much")


def _unquotable(injection: model.Injection) -> Iterator[Problem]:
    """Annotations with tokens that the record of what was added would quote in another way."""
    enums = {
        f"params.{parameter['name']}": [*map(str, parameter.get("enum") or ())]
        for parameter in injection.spec.get("parameters") or ()
    }
    path = "spec.template.metadata.annotations"
    for key, text in (injection.template_metadata.get("annotations") or {}).items():
        names = {name for _, _, name in parameters.tokens(text, path=path)} - {"injection.name"}
        texts = [text, *itertools.chain.from_iterable(enums.get(name, ()) for name in names)]
        if names and not all(map(_QUOTED_ALIKE.fullmatch, texts)):
            yield Problem(f"{path}.{key}", "has a token and may be no printable ASCII")


def choices(injection: model.Injection) -> Iterator[trial.Values]:
    """Labels and annotations for every combination of the values that parameters accept."""
    options = []
    for parameter in injection.spec.get("parameters") or ():
        source, key = pod_facts.source_of(parameter)
        values = parameter.get("enum") or [trial.guess(parameter)]
        options.append([(source, key, str(value)) for value in values])
    for chosen in itertools.product(*options):
        sources: trial.Values = {source: {} for source in parameters.SOURCES}
        for source, key, value in chosen:
            sources[source][key] = value
        yield sources
