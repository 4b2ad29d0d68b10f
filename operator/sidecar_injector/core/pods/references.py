"""Which variables a text refers to as `$(NAME)`; `$$(NAME)` is no reference.

https://github.com/kubernetes/kubernetes/blob/master/third_party/forked/golang/expansion/expand.go
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

LONGEST: Final = 4096
"""PATH_MAX of Linux: references behind so many characters are not looked for."""
_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^()$]*)\))")


def names(text: str) -> set[str]:
    """The names of the variables, each once."""
    matches = _REFERENCE.finditer(text, 0, LONGEST)
    return {match[1] for match in matches if match[1] is not None}


def of_items(items: Iterable[dict[str, Any]], field: str) -> set[str]:
    """The same for a field of each item."""
    return {name for item in items if item.get(field) for name in names(str(item[field]))}
