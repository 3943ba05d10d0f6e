"""Login sessions in Redis: found by their id, opened by a secret of which only the digest is kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import asdict

from identity.accounts.sessions import LoginSession
from identity.store.redis.commands import RedisConnection

_SECRET_BYTES = 32


class RedisLoginSessions:
    """Implements `accounts.sessions.LoginSessions`. A session that rests for `idle_lifetime` seconds is over."""

    def __init__(self, connection: RedisConnection, idle_lifetime: float) -> None:
        self._connection = connection
        self._idle = int(idle_lifetime * 1000)

    async def begin(self, session: LoginSession) -> str:
        """Stores a new session; returns what opens it: its id, and a secret."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        record = json.dumps({**asdict(session), "secret": _digest(secret)}, separators=(",", ":"), ensure_ascii=False)
        await self._connection.execute("SET", _key(session.session_id), record, "PXAT", self._end_of(session))
        return f"{session.session_id}.{secret}"

    async def read(self, secret: str) -> LoginSession | None:
        """Returns the session that this opens, and lets it live on."""
        session_id, _, own = secret.partition(".")
        if not (session_id.isascii() and own.isascii() and own):
            return None
        record = await self._connection.execute("GET", _key(session_id))
        if record is None:
            return None
        found = json.loads(record)
        if not hmac.compare_digest(found.pop("secret"), _digest(own)):
            return None
        session = LoginSession(
            **{**found, "authentication_methods": tuple(found["authentication_methods"])},
        )
        await self._connection.execute("PEXPIREAT", _key(session_id), self._end_of(session))
        return session

    async def end(self, session_id: str) -> None:
        """Removes the session."""
        await self._connection.execute("DEL", _key(session_id))

    def _end_of(self, session: LoginSession) -> int:
        return min(int(time.time() * 1000) + self._idle, session.expires_at * 1000)


def _key(session_id: str) -> str:
    return f"login-session:{{{session_id}}}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
