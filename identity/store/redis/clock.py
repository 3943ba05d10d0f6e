"""What time it is for Redis, which counts the lifetimes of sessions."""

from __future__ import annotations

from identity.store.redis.connection import RedisConnection


class RedisClock:
    """Implements `feed.clocks.StoreClock`."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def now(self) -> float:
        """Returns Redis's wall clock, Unix seconds."""
        seconds, microseconds = await self._connection.execute("TIME")
        return int(seconds) + int(microseconds) / 1e6
