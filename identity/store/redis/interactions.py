"""Requests that wait for a person, in Redis."""

from __future__ import annotations

import json
import secrets
from typing import Any

from identity.oauth.authorization.interactions import Interaction
from identity.oauth.authorization.request import AuthorizationParameters
from identity.store.redis.commands import RedisConnection

_ID_BYTES = 16


class RedisInteractions:
    """Implements `oauth.authorization.interactions.Interactions`; each is kept for `lifetime` seconds."""

    def __init__(self, connection: RedisConnection, lifetime: float) -> None:
        self._connection = connection
        self._lifetime = int(lifetime * 1000)

    async def begin(self, browser: str, sent: AuthorizationParameters, session_id: str = "") -> Interaction:
        """Keeps a request; it was checked, so no parameter of it was faulty."""
        interaction_id = secrets.token_urlsafe(_ID_BYTES)
        record = json.dumps([browser, session_id, *pack(sent)], separators=(",", ":"))
        await self._connection.execute("SET", _key(interaction_id), record, "PX", self._lifetime)
        return Interaction(interaction_id, browser, session_id, sent)

    async def read(self, interaction_id: str) -> Interaction | None:
        """Returns the request that waits under this id."""
        record = await self._connection.execute("GET", _key(interaction_id)) if interaction_id.isascii() else None
        if record is None:
            return None
        browser, session_id, *packed = json.loads(record)
        return Interaction(interaction_id, browser, session_id, unpack(packed))

    async def take(self, interaction_id: str) -> bool:
        """Removes it; True for the one who did."""
        return int(await self._connection.execute("DEL", _key(interaction_id))) == 1


def pack(sent: AuthorizationParameters) -> list[object]:
    """Returns a request as JSON writes it; no parameter of it is faulty."""
    return [dict(sent.values), sent.resources, sent.is_pushed, sent.is_signed]


def unpack(packed: list[Any]) -> AuthorizationParameters:
    """Returns the request of a record; those of an earlier version say less."""
    values, resources, *flags = packed
    is_pushed, is_signed = flags[:2] or (False, False)
    return AuthorizationParameters(values, tuple(resources), is_pushed=is_pushed, is_signed=is_signed)


def _key(interaction_id: str) -> str:
    return f"interaction:{{{interaction_id}}}"
