"""Pushed authorization requests in Redis, by the digest of their id: whoever reads Redis can refer to none."""

from __future__ import annotations

import hashlib
import json
import secrets

from identity.oauth.authorization.request import AuthorizationParameters
from identity.store.redis.commands import RedisConnection
from identity.store.redis.interactions import pack, unpack

_ID_BYTES = 32


class RedisPushedRequests:
    """Implements `oauth.authorization.pushed.PushedRequests`."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def push(self, sent: AuthorizationParameters, seconds: float) -> str:
        """Keeps a request."""
        request_id = secrets.token_urlsafe(_ID_BYTES)
        record = json.dumps(pack(sent), separators=(",", ":"))
        await self._connection.execute("SET", _key(request_id), record, "PX", int(seconds * 1000))
        return request_id

    async def read(self, request_id: str) -> AuthorizationParameters | None:
        """Returns the request that waits under this id."""
        record = await self._connection.execute("GET", _key(request_id))
        return None if record is None else unpack(json.loads(record))

    async def take(self, request_id: str) -> bool:
        """Removes it; True for the one who did."""
        return int(await self._connection.execute("DEL", _key(request_id))) == 1


def _key(request_id: str) -> str:
    return f"pushed:{hashlib.sha256(request_id.encode('utf-8', 'surrogatepass')).hexdigest()}"
