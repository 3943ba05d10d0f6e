"""The audit trail's writer for events that belong to no transaction: logins, good and bad."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from identity.models import AuditEvent
from identity.store.sql.engine import Database

_MAX_WAITING = 10_000
_BATCH = 500

log = structlog.get_logger("identity.audit")


class AuditTrail:
    """Writes events a moment later, many in one transaction, so that a login answers without waiting for the disk.

    What changes something is audited in the transaction that changes it (`SqlChange.record`), never here. A process that is
    killed loses at most the last fifth of a second of login events; a database that stays away, all beyond 10,000, counted.
    """

    pause_seconds = 0.2

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[dict[str, Any]] = []
        self._lost = 0
        self._writing = asyncio.Lock()

    def record(
        self,
        event: str,
        *,
        subject: str = "",
        client_id: str = "",
        grant_id: str = "",
        address: str = "",
        detail: str = "",
    ) -> None:
        """Queues an event, now. Never waits and never fails, and costs a microsecond: an `AuditEvent` would cost fifty."""
        if len(self._waiting) >= _MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(
            {
                "at": datetime.now(UTC),
                "event": event,
                "actor": "",
                "subject": subject,
                "client_id": client_id,
                "grant_id": grant_id,
                "address": address,
                "detail": detail,
            }
        )

    async def flush(self) -> None:
        """Writes everything that is queued now, after a write that is under way."""
        async with self._writing:
            if self._lost:
                log.error("audit events were lost while the database was away", events=self._lost)
                self._lost = 0
            while self._waiting:
                batch = self._waiting[:_BATCH]
                try:
                    await self._write(batch)
                except (ValueError, DBAPIError):
                    await self._write_one_by_one(batch)
                del self._waiting[: len(batch)]

    async def _write(self, events: list[dict[str, Any]]) -> None:
        async with self._database.transaction() as session:
            await session.execute(insert(AuditEvent), events)

    async def _write_one_by_one(self, events: list[dict[str, Any]]) -> None:
        """Leaves out the event that the database will never take: it must not keep out those behind it for ever."""
        for event in events:
            try:
                await self._write([event])
            except (ValueError, DBAPIError) as error:
                log.error("an audit event cannot be stored", audit_event=event["event"], problem=type(error).__name__)
