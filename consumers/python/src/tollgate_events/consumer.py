"""Handles each effect once: by the message, by the SQS record, by the batch."""

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ._event import PaymentEvent
from ._parse import EventError, parse
from ._state import Decision, Row, decide, movement_key
from .store import Store

# Compare-and-swaps that fail one after another, each because another process made one. Then the message comes back.
ATTEMPTS = 10


class NotYet(Exception):
    """Raised by a handler: what the event is about is not there yet, such as the order's own row. The message comes
    back."""


class Outcome(StrEnum):
    """How a message ended."""

    HANDLED = "handled"
    REPEAT = "repeat"
    """This event was handled before."""
    RESTATED = "restated"
    """Its effect was handled before, told by another event."""
    STALE = "stale"
    """Its movement is past this state: not handled."""
    BUSY = "busy"
    """Another event of its movement is being handled. The message comes back."""
    NOT_YET = "not_yet"
    """The handler raised `NotYet`. The message comes back."""
    GAVE_UP = "gave_up"
    """The handler raised `NotYet` at the last receive. The message goes to the queue's dead letters."""
    FAILED = "failed"
    """The handler or the store raised. The message comes back."""
    REFUSED = "refused"
    """No payment event of this schema. The message comes back, and goes to the queue's dead letters in the end."""


DONE = frozenset({Outcome.HANDLED, Outcome.REPEAT, Outcome.RESTATED, Outcome.STALE})


@dataclass(frozen=True, slots=True)
class Result:
    """How a message ended, and what it was."""

    outcome: Outcome
    event: PaymentEvent | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether the message can be deleted."""
        return self.outcome in DONE


class RecordNotDone(Exception):
    """Raised by `Consumer.record` where the message must come back."""

    def __init__(self, result: Result) -> None:
        super().__init__(str(result.outcome))
        self.result = result


class Consumer:
    """Calls `handle` once for each effect.

    `handle` gets events of every type that its queue has. An exception of it is a failure of that message alone.

    `lease_seconds`: how long a handler may take. No other event of its movement is handled meanwhile; where the process
    dies, the event is handled again after that time. At least the function's timeout.

    `max_receives`: `maxReceiveCount` of the queue (3 for Tollgate's), at which `NotYet` becomes `GAVE_UP`.

    `report` is called with each result, for logs and metrics.
    """

    def __init__(
        self,
        handle: Callable[[PaymentEvent], object],
        store: Store,
        *,
        lease_seconds: float = 60,
        max_receives: int = 3,
        report: Callable[[Result], object] = lambda result: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._handle, self._store, self._report, self._clock = handle, store, report, clock
        self._lease, self._max_receives = int(lease_seconds * 1000), max_receives

    def consume(self, text: str | bytes, receives: int = 1) -> Result:
        """Handles the event of one message's body, unless its effect is done. Raises nothing but what `report` raises.

        `receives`: how often the message was received, this time included.
        """
        try:
            event = parse(text)
        except EventError as error:
            result = Result(Outcome.REFUSED, error=error)
        else:
            try:
                result = self._consume(event, receives)
            except Exception as error:
                result = Result(Outcome.FAILED, event, error)
        self._report(result)
        return result

    def record(self, record: Any) -> Result:
        """The same for an SQS record of a Lambda event: the `record_handler` of Powertools' batch processors.

        Raises RecordNotDone where the message must come back.
        """
        result = self._consume_record(record)
        if not result.is_done:
            raise RecordNotDone(result) from result.error
        return result

    def batch(self, event: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
        """Handles an SQS event of Lambda, and returns what Lambda expects with `ReportBatchItemFailures`.

        On a FIFO queue a group ends at its first failure: its later messages are not begun and come back, too.
        Raises ValueError where a message that must come back has no id: Lambda would delete it.
        """
        failures: list[dict[str, str]] = []
        ended: set[str] = set()
        for record in event["Records"]:
            group = _group(record)
            if group in ended or not self._consume_record(record).is_done:
                if not record.get("messageId"):
                    raise ValueError("a message that must come back has no messageId")
                failures.append({"itemIdentifier": record["messageId"]})
                if group is not None:
                    ended.add(group)
        return {"batchItemFailures": failures}

    def _consume_record(self, record: Any) -> Result:
        receives = str((record.get("attributes") or {}).get("ApproximateReceiveCount", ""))
        return self.consume(record.get("body") or "", int(receives) if receives.isdecimal() else 1)

    def _consume(self, event: PaymentEvent, receives: int) -> Result:
        key, owner = movement_key(event), uuid.uuid4().hex
        decision = self._claim(key, event, owner)
        if decision is not Decision.HANDLE:
            return Result(Outcome(decision), event)
        try:
            self._handle(event)
        except NotYet as error:
            self._release(key, owner)
            return Result(Outcome.NOT_YET if receives < self._max_receives else Outcome.GAVE_UP, event, error)
        except Exception:
            self._release(key, owner)
            raise
        self._change(key, lambda row: row.released(owner).with_done(event))
        return Result(Outcome.HANDLED, event)

    def _claim(self, key: str, event: PaymentEvent, owner: str) -> Decision:
        for _ in range(ATTEMPTS):
            row, version = self._load(key)
            # Ours after a write whose answer was lost.
            if row.owner == owner:
                return Decision.HANDLE
            now = int(self._clock() * 1000)
            decision = decide(row, event, now)
            if decision is not Decision.HANDLE or self._store.save(key, row.leased(owner, now + self._lease).to_json(), version):
                return decision
        return Decision.BUSY

    def _release(self, key: str, owner: str) -> None:
        # What cannot be released now is free when the lease ends.
        with suppress(Exception):
            self._change(key, lambda row: row.released(owner))

    def _change(self, key: str, change: Callable[[Row], Row]) -> None:
        for _ in range(ATTEMPTS):
            row, version = self._load(key)
            changed = change(row)
            if changed == row or self._store.save(key, changed.to_json(), version):
                return
        raise TimeoutError("the row of a movement changed too often")

    def _load(self, key: str) -> tuple[Row, int]:
        stored = self._store.load(key)
        return (Row.from_json(stored.text), stored.version) if stored else (Row(), 0)


def _group(record: Any) -> str | None:
    """The record's FIFO group. Messages of a standard queue may have a group, too, which does not order them."""
    if not str(record.get("eventSourceARN") or "").endswith(".fifo"):
        return None
    return str((record.get("attributes") or {}).get("MessageGroupId") or "")
