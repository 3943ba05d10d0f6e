"""What happened, kept for as long as operators want to look back, and no longer."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_
from sqlmodel import col

from identity.feed.stores import StoreUnavailableError
from identity.models import ApiKey, AuditEvent
from identity.store.sql.engine import Database
from identity.store.sql.removal import remove

_PAUSE_SECONDS = 3600


class History:
    """Removes audit events, and API keys that ended, when they are older than `retention` seconds; nothing if that is 0.

    Any number of processes may do this at once. Nobody is protected by such a row: a key that is not there is refused like one
    that was revoked. People stay, for no subject is ever given to somebody else (U14).
    """

    def __init__(self, database: Database, retention: int) -> None:
        self._database = database
        self._retention = timedelta(seconds=retention)

    async def run(self) -> None:
        """Looks once an hour until cancelled; servers that started together do so one after the other."""
        while self._retention:
            await asyncio.sleep(secrets.randbelow(2 * _PAUSE_SECONDS))
            with suppress(StoreUnavailableError):
                await self.purge(datetime.now(UTC))

    async def purge(self, now: datetime) -> int:
        """Removes what is too old at `now`, and returns how many rows that were. Harmless to repeat."""
        before = now - self._retention
        ended = or_(col(ApiKey.expires_at) <= before, col(ApiKey.revoked_at) <= before)
        events = await remove(self._database, AuditEvent, col(AuditEvent.id), col(AuditEvent.at) <= before)
        return events + await remove(self._database, ApiKey, col(ApiKey.key_id), ended)
