"""What EventBridge makes of an event: whether a pattern matches it, and what an input transformer turns it into. Knows what
infra/'s rules use; anything else is an error and never a match."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MISSING = object()


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """EventBridge user guide, "Comparison operators for use in event patterns"."""
    if "$or" in pattern and not any(matches(one, event) for one in pattern["$or"]):
        return False
    return all(one_matches(wanted, event.get(key, MISSING)) for key, wanted in pattern.items() if key != "$or")


def one_matches(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Mapping):
        # Of an array of objects, one object must match.
        parts = found if isinstance(found, list) else [found]
        return any(matches(wanted, part if isinstance(part, Mapping) else {}) for part in parts)
    if not isinstance(wanted, list) or not wanted:
        raise ValueError(f"a pattern's values are in lists: {wanted}")
    values = found if isinstance(found, list) else [found]
    return any(holds(one, value) for one in wanted for value in values)


def holds(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, Mapping):
        return value is not MISSING and type(value) is type(wanted) and value == wanted
    (operator, operand), = wanted.items()
    if operator == "exists":
        return (value is not MISSING) == operand
    if value is MISSING:
        return False
    if operator == "anything-but" and isinstance(operand, list):
        return value not in operand
    if operator == "prefix":
        return isinstance(value, str) and value.startswith(operand)
    raise ValueError(f"unknown operator {operator}")


def transformed(transformer: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """The text that the target gets (EventBridge user guide, "Amazon EventBridge input transformation"): within a text a value is as
    it is, without quotes or escapes; elsewhere it is JSON. A variable whose path finds nothing leaves nothing."""
    template: str = transformer["InputTemplate"]

    def value_of(found: re.Match[str]) -> str:
        value = at(event, transformer["InputPathsMap"][found[1]])
        if value is MISSING:
            return ""
        is_within_text = template[:found.start()].count('"') % 2 == 1
        return value if isinstance(value, str) and is_within_text else json.dumps(value)

    return re.sub(r"<([\w.]+)>", value_of, template)


def at(document: Any, path: str) -> Any:
    """What a path of names finds, or MISSING."""
    if not re.fullmatch(r"\$(\.[\w-]+)*", path):
        raise ValueError(f"unknown path {path}")
    for name in path.split(".")[1:]:
        document = document.get(name, MISSING) if isinstance(document, Mapping) else MISSING
    return document
