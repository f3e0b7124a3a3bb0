"""From a message's text to a payment event, or a typed refusal. Money stays an integer of any size."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, cast

from ._event import SCHEMA, SPEC, Customer, Method, Money, PaymentEvent

Reason = Literal["not_json", "other_schema", "malformed"]

# RFC 3339 in UTC, as Tollgate writes it: up to nine decimals.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_CLASSES: Mapping[str, Any] = {"$.amount": Money, "$.customer": Customer, "$.method": Method, "$": PaymentEvent}


class EventError(ValueError):
    """The text is no payment event of this schema. The message holds no data of the event, so that it can be logged."""

    def __init__(self, reason: Reason, at: str = "$") -> None:
        super().__init__(f"{reason} at {at}")
        self.reason: Reason = reason
        """`not_json`, `other_schema` (another name or version), `malformed` (`at` says where)."""
        self.at = at
        """The place in the event, such as `$.amount.minor_units`."""


def parse(text: str | bytes) -> PaymentEvent:
    """The event in an SQS message's body: an EventBridge event with it in `detail`, or the payment event itself.

    Fields that the schema does not have are left out. A `type` or `category` that this version does not know is kept as
    it is: give your `match` a default.

    Raises EventError.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        # `from None`: the cause holds the text.
        raise EventError("not_json") from None
    if isinstance(value, dict) and "detail-type" in value and "detail" in value:
        value = value["detail"]
    if not isinstance(value, dict):
        raise EventError("malformed")
    if value.get("schema") != SCHEMA:
        raise EventError("other_schema", "$.schema")
    return cast(PaymentEvent, _read(SPEC, value, "$"))


def _refuse_constant(name: str) -> NoReturn:
    # NaN and Infinity, which Python reads and JSON does not have.
    raise ValueError(name)


def _read(spec: Mapping[str, Any], value: Any, at: str) -> Any:
    if "oneOf" in spec:
        # Null or an object: so that what is wrong inside of it is named.
        return None if value is None else _read(spec["oneOf"][-1], value, at)
    if "const" in spec and value != spec["const"]:
        raise EventError("malformed", at)
    if "enum" in spec and not (isinstance(value, str) and value in spec["enum"]):
        raise EventError("malformed", at)
    types = spec.get("type", ())
    if types and not any(_is(name, value) for name in ([types] if isinstance(types, str) else types)):
        raise EventError("malformed", at)
    if isinstance(value, str):
        _check_text(spec, value, at)
    elif isinstance(value, int) and not spec.get("minimum", value) <= value <= spec.get("maximum", value):
        raise EventError("malformed", at)
    elif isinstance(value, list):
        return tuple(_read(spec["items"], one, f"{at}[{index}]") for index, one in enumerate(value))
    elif isinstance(value, dict):
        return _read_object(spec, value, at)
    return value


def _read_object(spec: Mapping[str, Any], value: dict[str, Any], at: str) -> Any:
    if "properties" not in spec:
        # A name is the merchant's own and stays out of errors.
        return {name: _read(spec["additionalProperties"], one, f"{at}.*") for name, one in value.items()}
    for name in spec.get("required", ()):
        if name not in value:
            raise EventError("malformed", f"{at}.{name}")
    known = {name: _read(field, value[name], f"{at}.{name}") for name, field in spec["properties"].items() if name in value}
    return _CLASSES[at](**known)


def _is(name: str, value: Any) -> bool:
    if name == "integer":
        # A bool is an int to Python; 1.0 and 1e2 are floats, which an amount never is.
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "null": type(None), "object": dict, "array": list}[name])


def _check_text(spec: Mapping[str, Any], value: str, at: str) -> None:
    if not spec.get("minLength", 0) <= len(value) <= spec.get("maxLength", len(value)):
        raise EventError("malformed", at)
    # The schema's patterns are anchored, and `$` would let a line break follow.
    if "pattern" in spec and not re.fullmatch(spec["pattern"].removeprefix("^").removesuffix("$"), value, re.ASCII):
        raise EventError("malformed", at)
    if spec.get("format") == "date-time" and not _TIME.fullmatch(value):
        raise EventError("malformed", at)
