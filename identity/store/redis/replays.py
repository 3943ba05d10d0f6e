"""What was presented, in Redis, for as long as it would be good again."""

from __future__ import annotations

import hashlib
import secrets

from identity.feed.stores import StoreUnavailableError
from identity.oauth.replays import Once
from identity.store.redis.commands import RedisConnection


class RedisReplays:
    """Implements `oauth.replays.Replays`. Values are kept by their digest: they are as long as their senders like, and nobody
    finds in Redis what was presented."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def is_first(self, kind: Once, value: str, seconds: float) -> bool:
        """Notes the value, and tells whether nobody did before."""
        return await self._note(_key(kind, value), secrets.token_urlsafe(9), seconds)

    async def _note(self, key: str, attempt: str, seconds: float) -> bool:
        """One command, which answers what was there before. That it was this very attempt means that the command was sent
        again, because its answer was lost."""
        found = await self._connection.execute("SET", key, attempt, "NX", "GET", "PX", max(1, int(seconds * 1000)))
        if not self._connection.trusts(key):
            # It may have come back as it was before the value was noted.
            raise StoreUnavailableError("Redis", "a node of the cluster was not looked through yet")
        return found is None or found == attempt


def _key(kind: Once, value: str) -> str:
    return f"once:{kind}:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"
