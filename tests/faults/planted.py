"""Bugs put into a forked server on purpose, to see whether the checker finds them. Each is one that somebody might write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from identity.feed.ledger import Ledger
from identity.feed.rules import Head
from identity.oauth.grants.sessions import Sessions
from identity.store.redis.channel import Channel
from identity.store.redis.families import RedisFamilies
from identity.store.sql.change import SqlChange
from identity.tokens.refresh_token import Step

_MEANWHILE_SECONDS = 0.01


def rotation_is_not_atomic() -> None:
    """Reads the family, decides here, writes it back: whatever happened in between is undone."""

    async def step(self: Any, generation: Any, rotates: bool, kid: str, under: Any = None) -> Step:
        key = f"f:{{{generation.family}}}"
        record = await self._connection.execute("GET", key)
        if record is None:
            return Step.UNKNOWN
        current, _, since, state, rest = record.split(" ", 4)
        now = int(time.time() * 1000)
        if state == "R" or generation.number < int(current) - 1:
            return Step.REPLAYED
        if generation.number == int(current) - 1:
            return Step.REPEATED if now - int(since) < self._window else Step.REPLAYED
        await asyncio.sleep(_MEANWHILE_SECONDS)
        await self._connection.execute("SET", key, f"{int(current) + 1} {now} {since} {state} {rest}", "EX", 3600)
        return Step.ADVANCED

    RedisFamilies.step = step


def revocation_is_in_memory_only() -> None:
    """The server that was asked knows that the session is over, and tells nobody."""
    ended: set[str] = set()

    async def end(self: Any, event: Any) -> None:
        ended.add(event.grant_id)

    step = RedisFamilies.step

    async def look(self: Any, generation: Any, rotates: bool, kid: str) -> Step:
        return Step.UNKNOWN if generation.family in ended else await step(self, generation, rotates, kid)

    Sessions.end = end
    RedisFamilies.step = look


def rule_is_appended_before_the_commit() -> None:
    """Tells Redis first, to be quick. Whoever dies in between leaves a number in Redis that SQL gives away once more."""
    streams: list[Any] = []
    make, number = Ledger.__init__, SqlChange.number_rules

    def remember(self: Any, begin: Any, journal: Any, stream: Any) -> None:
        streams.append(stream)
        make(self, begin, journal, stream)

    async def number_and_append(self: Any, horizon: int, kept: int) -> None:
        await number(self, horizon, kept)
        if self.numbered:
            await asyncio.sleep(_MEANWHILE_SECONDS)
            await streams[0].append(Head(self.head.epoch, self.numbered[0].seq - 1), self.numbered, self.head)

    Ledger.__init__ = remember
    SqlChange.number_rules = number_and_append


def retries_have_no_bound() -> None:
    """Tries until Redis is back, however long that takes, with the request waiting."""
    once = Channel._try_exchange

    async def until_it_works(self: Any, commands: Any) -> Any:
        while True:
            try:
                return await once(self, commands)
            except (OSError, RedisError):
                await asyncio.sleep(_MEANWHILE_SECONDS)

    Channel._exchange = until_it_works


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        rotation_is_not_atomic,
        revocation_is_in_memory_only,
        rule_is_appended_before_the_commit,
        retries_have_no_bound,
    )
}
