"""What the feed needs of its two stores: SQL, which decides, and Redis, which tells everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from identity.feed.rules import EndedGrant, Head, NumberedRule

T = TypeVar("T")

_MORE_ATTEMPTS = 2


class StoreUnavailableError(Exception):
    """A store did not answer, or said it cannot: nothing is known of the outcome, and the request must fail closed."""

    def __init__(self, store: str, detail: str = "") -> None:
        super().__init__(f"{store} is unavailable" + (f": {detail}" if detail else ""))
        self.store = store


class StoreConflictError(StoreUnavailableError):
    """The store undid a whole transaction because of somebody else's, or what was read is of no use because of it. Nothing
    happened: if everything it does is in it, it may be done again at once."""


async def until_undisturbed(work: Callable[[], Awaitable[T]]) -> T:
    """Returns what `work` returns. If it meets a `StoreConflictError` it is done again, twice at most; the third is raised."""
    for _ in range(_MORE_ATTEMPTS):
        with suppress(StoreConflictError):
            return await work()
    return await work()


class Journal(Protocol):
    """The rules in SQL. Every method may raise `StoreUnavailableError`."""

    async def head(self) -> Head:
        """Returns the number of the last committed rule."""

    def live(self) -> AsyncIterator[tuple[Head, list[NumberedRule]]]:
        """Yields every rule that matters to a server, in order and a chunk at a time, each with the head they go up to; at
        least one chunk, which may be empty. Raises `StoreConflictError` in the end when another history began meanwhile."""

    async def after(self, seq: int, limit: int | None = None) -> tuple[Head, list[NumberedRule]]:
        """Returns head and the first rules with a greater number than `seq`, in order, as of one moment."""

    async def ended_grants_after(
        self, seq: int, *, up_to: int | None = None, limit: int | None = None
    ) -> list[EndedGrant]:
        """Returns the first grants ended by rules after `seq`, in order: what a Redis that stands at `seq` may still believe
        alive."""

    async def has_ended(self, grant_id: str) -> bool:
        """Tells whether a rule ended this grant."""

    async def purge(self, now: int) -> int:
        """Removes rules that can match neither a token nor a session any more; returns how many. Harmless to repeat."""


class Stream(Protocol):
    """The rules in Redis. Every method may raise `StoreUnavailableError`."""

    async def head(self) -> Head | None:
        """Returns the number of the last appended rule, or None when Redis holds no feed."""

    async def append(
        self, expected: Head, rules: Sequence[NumberedRule], head: Head, ended: Sequence[str] = ()
    ) -> bool:
        """Ends the families of `ended`; then appends `rules` and moves to `head` if the stream stands at `expected`,
        atomically. True also for a repeat."""

    async def end(self, families: Sequence[str]) -> None:
        """Ends these families."""

    async def unseen_histories(self) -> frozenset[str]:
        """Returns what tells of nodes that were replaced, or lost what they did last, while the head stayed: families that
        ended may be alive there. Empty where head and families are in one place."""

    def trust(self, histories: frozenset[str]) -> None:
        """Says that in these nothing is alive that ended."""

    async def reset(self, epoch: str) -> None:
        """Empties the stream and begins `epoch` at 0."""

    async def read_after(self, seq: int, block_seconds: float) -> list[NumberedRule]:
        """Returns rules after `seq`, waiting up to `block_seconds` for the first."""
