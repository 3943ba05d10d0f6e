"""What the feed needs of its two stores: SQL, which decides, and Redis, which tells everybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from identity.feed.rules import Head, NumberedRule


class StoreUnavailableError(Exception):
    """A store did not answer, or said it cannot: nothing is known of the outcome, and the request must fail closed."""

    def __init__(self, store: str, detail: str = "") -> None:
        super().__init__(f"{store} is unavailable" + (f": {detail}" if detail else ""))
        self.store = store


class Journal(Protocol):
    """The rules in SQL. Every method may raise `StoreUnavailableError`."""

    async def head(self) -> Head:
        """Returns the number of the last committed rule."""

    async def live(self) -> tuple[Head, list[NumberedRule]]:
        """Returns head and every rule that matters to a server, in order, as of one moment."""

    async def after(self, seq: int) -> tuple[Head, list[NumberedRule]]:
        """Returns head and the rules with a greater number than `seq`, in order, as of one moment."""

    async def ended_grants_after(self, seq: int) -> list[str]:
        """Returns the grants ended by rules after `seq`: what a Redis that stands at `seq` may still believe alive."""

    async def has_ended(self, grant_id: str) -> bool:
        """Tells whether a rule ended this grant."""

    async def purge(self, now: int) -> int:
        """Removes rules that can match neither a token nor a session any more; returns how many. Harmless to repeat."""


class Stream(Protocol):
    """The rules in Redis. Every method may raise `StoreUnavailableError`."""

    async def head(self) -> Head | None:
        """Returns the number of the last appended rule, or None when Redis holds no feed."""

    async def append(self, expected: Head, rules: Sequence[NumberedRule], head: Head) -> bool:
        """Appends `rules` and moves to `head` if the stream stands at `expected`, atomically; True also for a repeat."""

    async def reset(self, epoch: str) -> None:
        """Empties the stream and begins `epoch` at 0."""

    async def read_after(self, seq: int, block_seconds: float) -> list[NumberedRule]:
        """Returns rules after `seq`, waiting up to `block_seconds` for the first."""
