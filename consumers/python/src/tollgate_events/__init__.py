"""Consume Tollgate's payment events: each effect once, in order, from SQS."""

from ._event import SCHEMA, Category, Customer, EventType, Method, Money, PaymentEvent
from ._parse import EventError, parse
from ._state import Decision, Row, decide, is_stale, movement_key
from .consumer import Consumer, NotYet, Outcome, RecordNotDone, Result
from .store import MemoryStore, Store, Stored

__all__ = [
    "SCHEMA",
    "Category",
    "Consumer",
    "Customer",
    "Decision",
    "EventError",
    "EventType",
    "MemoryStore",
    "Method",
    "Money",
    "NotYet",
    "Outcome",
    "PaymentEvent",
    "RecordNotDone",
    "Result",
    "Row",
    "Store",
    "Stored",
    "decide",
    "is_stale",
    "movement_key",
    "parse",
]
