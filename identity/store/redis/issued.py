"""How many access tokens each key signed, by client, resource and hour: counted in memory, written once a second."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Collection

from identity.store.redis.commands import RedisConnection
from identity.store.redis.dialling import mapping_of
from identity.tokens.issued import HOUR, Holder, IssuedTokens

_HOURS_KEPT = 7 * 24
_MAX_WAITING = 10_000

_Counter = tuple[str, str, str, int]
"""Key, client, resource, and the hour by its number since 1970."""


class RedisIssueCounts:
    """Implements `tokens.issued.IssueCounts`. A process that is killed loses a second's counts, and a write whose answer
    was lost may count twice; while Redis is away they wait, 10,000 different ones at most. What was counted is known for a
    week."""

    pause_seconds = 1.0

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._waiting: Counter[_Counter] = Counter()
        self._writing = asyncio.Lock()

    def count(self, kid: str, client_id: str, audience: str, now: int) -> None:
        """Notes one token. Hundreds a second come here: half a microsecond."""
        counter = (kid, client_id, audience, now // HOUR)
        if len(self._waiting) < _MAX_WAITING or counter in self._waiting:
            self._waiting[counter] += 1

    async def flush(self) -> None:
        """Writes everything counted so far; what cannot be written waits for the next time."""
        async with self._writing:  # Two at once would both write what waits.
            for counter, tokens in list(self._waiting.items()):
                kid, client_id, audience, hour = counter
                key, field = _key(kid, hour), json.dumps([client_id, audience], separators=(",", ":"))
                await self._connection.execute("HINCRBY", key, field, tokens)
                self._waiting[counter] -= tokens
                if not self._waiting[counter]:
                    del self._waiting[counter]
                await self._connection.execute("EXPIREAT", key, (hour + _HOURS_KEPT) * HOUR)

    async def signed_by(self, kids: Collection[str]) -> list[IssuedTokens]:
        """Returns what these keys signed within the last week."""
        this_hour = int(time.time()) // HOUR
        asked = [(kid, hour) for hour in range(this_hour - _HOURS_KEPT, this_hour + 1) for kid in kids]
        return [each for kid, hour in asked for each in await self._of(kid, hour)]

    async def _of(self, kid: str, hour: int) -> list[IssuedTokens]:
        found = mapping_of(await self._connection.execute("HGETALL", _key(kid, hour)))
        counted = ((Holder(*json.loads(field)), int(tokens)) for field, tokens in sorted(found.items()))
        return [IssuedTokens(kid, holder, hour * HOUR, tokens) for holder, tokens in counted]


def _key(kid: str, hour: int) -> str:
    return f"{{issued}}:{hour}:{kid}"
