"""What was added to the pod of a controller, added to the template that the pod was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import lenient

_STATUS = (*status_annotation.PARENTS, names.STATUS_ANNOTATION)


def onto_template(
    template: dict[str, Any], operations: Sequence[patch.Operation]
) -> dict[str, Any]:
    """The template with the changes that were decided for a pod which has all that it has.

    What the author left empty is recorded as the template has it: the pod may have more there.
    """
    editor = patch.Editor(template)
    before = status_annotation.read(lenient.child(template.get("metadata"), "annotations"))
    for operation in operations:
        if operation["path"] != patch.pointer(_STATUS):
            editor.replay(operation)
            continue
        after = status_annotation.read({names.STATUS_ANNOTATION: operation["value"]})
        empty = status_annotation.all_empty(template, editor.empty, before=before)
        editor.set(_STATUS, dataclasses.replace(after, empty=empty).as_text())
    return editor.document
