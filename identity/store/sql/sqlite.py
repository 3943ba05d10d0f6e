"""Connections to SQLite: WAL, foreign keys, full durability."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

_BUSY_SECONDS = 5
"""How long one writer waits for the others of all processes. SQLite lets them in by chance, not in order."""

_WAL_ATTEMPTS = 40
_WAL_PAUSE_SECONDS = 0.05


class Sqlite:
    """Implements `engine.Driver`. A file has no silence, and its transactions undo nobody's."""

    def __init__(self, url: str, connections: int) -> None:
        self._engine = create_async_engine(
            url, pool_size=connections, max_overflow=0, connect_args={"timeout": _BUSY_SECONDS}
        )
        event.listen(self._engine.sync_engine, "connect", _configure)

    @property
    def engine(self) -> AsyncEngine:
        """Makes and keeps connections."""
        return self._engine

    async def begin(self, connection: AsyncConnection, *, changes: bool, seconds: float) -> None:
        """Begins a transaction. One that changes says so at once: a deferred transaction that reads and then writes can lose
        its read to another writer, and by default does so silently."""
        if seconds > _BUSY_SECONDS:
            await connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
        await connection.exec_driver_sql("BEGIN IMMEDIATE" if changes else "BEGIN")
        if seconds > _BUSY_SECONDS:
            await connection.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")

    def is_silence(self, error: BaseException | None) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def is_conflict(self, error: BaseException | None) -> bool:  # noqa: ARG002
        """Never."""
        return False


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    for pragma in ("foreign_keys=ON", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Several connections that open a new file at once get in each other's way, and SQLite then does not wait as it does
    for every other lock. Whoever loses finds the mode already switched a moment later."""
    for left in reversed(range(_WAL_ATTEMPTS)):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if not left:
                raise
            await_only(asyncio.sleep(_WAL_PAUSE_SECONDS))
