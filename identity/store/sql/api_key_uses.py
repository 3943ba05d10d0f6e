"""When an API key was used last: noted in memory, written a while later, never on the way of an answer."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import bindparam, or_, update
from sqlmodel import col

from identity.models import ApiKey
from identity.store.sql.engine import Database

_MAX_WAITING = 10_000
_BATCH = 500


class ApiKeyUses:
    """Keeps the last use of each key. A process that is killed loses a minute of it, which harms nobody."""

    pause_seconds = 60.0  # So a key is written at most once a minute by each process, however often it is used.

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, datetime] = {}

    def note(self, key_id: str) -> None:
        """Notes that the key was used now. Never waits and never fails; while 10,000 keys wait, others are left out."""
        if len(self._waiting) < _MAX_WAITING or key_id in self._waiting:
            self._waiting[key_id] = datetime.now(UTC)

    async def flush(self) -> None:
        """Writes everything noted so far; what cannot be written waits for the next time."""
        # In one order everywhere: two processes that write the same keys must not wait for each other.
        noted = sorted(self._waiting.items())
        for start in range(0, len(noted), _BATCH):
            batch = noted[start : start + _BATCH]
            await self._write(batch)
            for key_id, at in batch:
                if self._waiting.get(key_id) == at:
                    del self._waiting[key_id]

    async def _write(self, batch: list[tuple[str, datetime]]) -> None:
        last = col(ApiKey.last_used_at)
        newer = or_(last.is_(None), last < bindparam("at"))
        query = (
            update(ApiKey).where(col(ApiKey.key_id) == bindparam("used"), newer).values(last_used_at=bindparam("at"))
        )
        async with self._database.transaction() as session:
            # On the connection: the session would take a list of parameters for rows to be found by their primary key.
            await (await session.connection()).execute(query, [{"used": key_id, "at": at} for key_id, at in batch])
