"""What is known of one movement of money, and what that says about an event of it. Pure: no clock, no I/O."""

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from ._event import BEGINS, RANKS, SETTLED, PaymentEvent


class Decision(StrEnum):
    """What to do with an event."""

    HANDLE = "handle"
    REPEAT = "repeat"
    """This event was handled."""
    RESTATED = "restated"
    """Its effect was handled, told by another event."""
    STALE = "stale"
    """Its movement is past this state."""
    BUSY = "busy"
    """Another event of its movement is being handled."""


@dataclass(frozen=True, slots=True)
class Row:
    """All that a consumer keeps of one movement. Its JSON form is the same in the packages of all languages."""

    done: dict[str, str] = field(default_factory=dict)
    """The event that told it, by effect."""
    state: str | None = None
    """The type of the last ranked event that was handled."""
    at: str | None = None
    """When that happened: RFC 3339 with nine decimals."""
    owner: str | None = None
    """Who handles an event of the movement."""
    until: int = 0
    """How long the owner may take: milliseconds since 1970."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote. Raises ValueError or TypeError for anything else."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps({"done": self.done, "state": self.state, "at": self.at, "owner": self.owner, "until": self.until},
                          separators=(",", ":"))

    def leased(self, owner: str, until: int) -> Self:
        return replace(self, owner=owner, until=until)

    def released(self, owner: str) -> Self:
        """Without the lease, if it is still this owner's."""
        return replace(self, owner=None, until=0) if self.owner == owner else self

    def with_done(self, event: PaymentEvent) -> Self:
        """With the event's effect done and its state reached. Where the handler took longer than its lease, another event may
        have brought the movement further meanwhile: that state stands."""
        row = replace(self, done={**self.done, event.effect_id: event.id})
        if event.type in RANKS and not is_stale(self, event):
            row = replace(row, state=event.type, at=nine_decimals(event.occurred_at))
        return row


def movement_key(event: PaymentEvent) -> str:
    """`{endpoint}#{movement_id}`: two merchants' providers may use the same ids."""
    return f"{event.endpoint}#{event.movement_id}"


def decide(row: Row, event: PaymentEvent, now: int) -> Decision:
    """What to do with the event. `now` in milliseconds since 1970."""
    if event.id in row.done.values():
        return Decision.REPEAT
    if event.effect_id in row.done:
        return Decision.RESTATED
    if row.owner is not None and row.until > now:
        return Decision.BUSY
    return Decision.STALE if is_stale(row, event) else Decision.HANDLE


def is_stale(row: Row, event: PaymentEvent) -> bool:
    """Whether the movement is past the event's state.

    1. A state of a higher rank is not stale.
    2. One of the same rank is, if it happened before the state that was reached.
    3. One of a lower rank is, unless the provider says that it happened later: a payment that fails after its success.
       What only begins a movement (`BEGINS`) is stale after a settled state (`SETTLED`) whatever its time.
    """
    rank = RANKS.get(event.type)
    reached = RANKS.get(row.state or "")
    if rank is None or reached is None or row.at is None or rank > reached:
        return False
    at = nine_decimals(event.occurred_at)
    if rank == reached:
        return at < row.at
    # Where the provider gives no time, `occurred_at` is that of the arrival and says nothing about the order.
    is_later = at > row.at and event.occurred_at != event.received_at
    return not is_later or (event.type in BEGINS and row.state in SETTLED)


def nine_decimals(at: str) -> str:
    """So that text order is time order."""
    seconds, _, fraction = at.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction:0<9}Z"
