"""Reading events."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES, event, text

from tollgate_events import SCHEMA, Customer, EventError, Money, PaymentEvent, parse


def test_what_tollgate_writes_is_read() -> None:
    assert len(SAMPLES) > 30
    for line in SAMPLES:
        read, written = parse(line), json.loads(line)
        assert isinstance(read, PaymentEvent) and read.schema == SCHEMA
        for name, value in written.items():
            assert plain(getattr(read, name)) == value, name


def test_what_was_published_is_read() -> None:
    """Messages of the consumers' queues, which `make demo` keeps."""
    file = os.environ.get("TOLLGATE_MESSAGES")
    if not file:
        if os.environ.get("CI"):
            pytest.fail("TOLLGATE_MESSAGES is not set: run scripts/check/consumers")
        pytest.skip("no messages: scripts/check/consumers has them written")
    bodies = [json.loads(line)["body"] for line in Path(file).read_text().splitlines()]
    assert len(bodies) > 100
    for body in bodies:
        assert plain(parse(body).amount) == json.loads(body)["detail"]["amount"]


def plain(value: Any) -> Any:
    if isinstance(value, Money | Customer) or hasattr(value, "__slots__"):
        return {name: getattr(value, name) for name in value.__slots__ if isinstance(value, Money) or getattr(value, name) is not None}
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("units", [0, -1, 2**53 + 1, 123456789012345678901234567890, -(10**36 - 1)])
def test_money_is_an_integer_of_any_size(units: int) -> None:
    amount = parse(text(amount={"minor_units": units, "currency": "EUR", "exponent": None, "value": None})).amount
    assert amount is not None and amount.minor_units == units and type(amount.minor_units) is int


def test_an_envelope_and_a_bare_event_are_the_same() -> None:
    envelope = {"version": "0", "id": "1", "detail-type": "payment.succeeded", "source": "tollgate", "detail": event()}
    assert parse(json.dumps(envelope)) == parse(text()) == parse(text().encode())


def test_unknown_fields_are_left_out_and_unknown_types_are_kept() -> None:
    read = parse(text(type="payment.teleported", category="space", warp=9, customer={"id": "c", "planet": "x"}))
    assert (read.type, read.category, read.customer) == ("payment.teleported", "space", Customer(id="c"))
    assert not hasattr(read, "warp")
    assert (read.metadata, read.transaction_aliases, read.livemode) == ({}, (), None)


@pytest.mark.parametrize(("change", "at"), [
    ({"id": "evt_1"}, "$.id"),
    ({"id": "evt_" + "0" * 32 + "\n"}, "$.id"),
    ({"id": None}, "$.id"),
    ({"type": ""}, "$.type"),
    ({"type": 1}, "$.type"),
    ({"authenticity": "trusted"}, "$.authenticity"),
    ({"authenticity": ["verified"]}, "$.authenticity"),
    ({"restates": ""}, "$.restates"),
    ({"occurred_at": "2026-01-02 03:04:05"}, "$.occurred_at"),
    ({"occurred_at": "2026-01-02T03:04:05+01:00"}, "$.occurred_at"),
    ({"superseded": "false"}, "$.superseded"),
    ({"amount": 5}, "$.amount"),
    ({"amount": {}}, "$.amount.minor_units"),
    ({"amount": {"minor_units": 5.0, "currency": "EUR", "exponent": 2, "value": None}}, "$.amount.minor_units"),
    ({"amount": {"minor_units": "5", "currency": "EUR", "exponent": 2, "value": None}}, "$.amount.minor_units"),
    ({"amount": {"minor_units": True, "currency": "EUR", "exponent": 2, "value": None}}, "$.amount.minor_units"),
    ({"amount": {"minor_units": 5, "currency": "", "exponent": 2, "value": None}}, "$.amount.currency"),
    ({"amount": {"minor_units": 5, "currency": "EUR", "exponent": -1, "value": None}}, "$.amount.exponent"),
    ({"amount": {"minor_units": 5, "currency": "EUR", "exponent": 2, "value": "5."}}, "$.amount.value"),
    ({"provider_risk_score": 65536}, "$.provider_risk_score"),
    ({"customer": None}, "$.customer"),
    ({"metadata": {"order": 7}}, "$.metadata.*"),
    ({"transaction_aliases": ["a", 1]}, "$.transaction_aliases[1]"),
])
def test_malformed_events_are_refused(change: dict[str, Any], at: str) -> None:
    with pytest.raises(EventError) as caught:
        parse(text(**change))
    assert (caught.value.reason, caught.value.at) == ("malformed", at)


@pytest.mark.parametrize("name", [name for name in event() if name != "schema"])
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(EventError) as caught:
        parse(json.dumps({key: value for key, value in event().items() if key != name}))
    assert (caught.value.reason, caught.value.at) == ("malformed", f"$.{name}")


@pytest.mark.parametrize(("body", "reason"), [
    ("", "not_json"), ("{", "not_json"), (b"\xff", "not_json"), ("[" * 200_000, "not_json"), ("NaN", "not_json"),
    ('{"a": 1' + "0" * 5_000 + "}", "not_json"),
    ("[]", "malformed"), ('"text"', "malformed"), ('{"detail-type": "x", "detail": null}', "malformed"),
    ("{}", "other_schema"), ('{"schema": "tollgate.payment-event/2"}', "other_schema"), ('{"schema": 1}', "other_schema"),
])
def test_what_is_no_event_is_refused(body: str | bytes, reason: str) -> None:
    with pytest.raises(EventError) as caught:
        parse(body)
    assert caught.value.reason == reason and caught.value.__cause__ is None


def test_an_error_holds_nothing_of_the_event() -> None:
    with pytest.raises(EventError) as caught:
        parse(text(customer={"id": ["Ada Lovelace"]}))
    assert str(caught.value) == "malformed at $.customer.id"
