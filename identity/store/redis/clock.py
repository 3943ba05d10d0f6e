"""What time it is for Redis, which counts the lifetimes of sessions."""

from __future__ import annotations

import time

from identity.store.redis.commands import Node, RedisConnection


class RedisClock:
    """Implements `feed.clocks.StoreClock`."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def now(self) -> float:
        """Returns Redis's wall clock, Unix seconds; of several nodes, that of the one that is furthest from ours."""
        found = [await _time_of(node) for node in await self._connection.nodes()]
        return max(found, key=lambda moment: abs(moment - time.time()))


async def _time_of(node: Node) -> float:
    seconds, microseconds = await node.execute("TIME")
    return int(seconds) + int(microseconds) / 1e6
