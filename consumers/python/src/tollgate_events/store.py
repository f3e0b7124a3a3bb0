"""Where a consumer keeps its rows: one for each movement, changed by compare-and-swap."""

import threading
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stored:
    """A row's text and how often it was written."""

    text: str
    version: int


class Store(Protocol):
    """Two calls, which any database with a conditional write can serve. Errors of a call are raised: the message comes
    back."""

    def load(self, key: str) -> Stored | None:
        """The last row that was saved, never an older one."""

    def save(self, key: str, text: str, expected: int) -> bool:
        """Puts the row with version `expected` + 1 if its version is `expected`; 0 stands for no row. False, and no
        change, where it is another one."""


class MemoryStore:
    """For tests, and for a single process whose repeats all come in its lifetime."""

    def __init__(self) -> None:
        self._rows: dict[str, Stored] = {}
        self._lock = threading.Lock()

    def load(self, key: str) -> Stored | None:
        with self._lock:
            return self._rows.get(key)

    def save(self, key: str, text: str, expected: int) -> bool:
        with self._lock:
            stored = self._rows.get(key)
            if (stored.version if stored else 0) != expected:
                return False
            self._rows[key] = Stored(text, expected + 1)
            return True
