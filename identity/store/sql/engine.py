"""Connections to SQL: one way to read, one way to change, and one error when the database is away."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.util import await_only

from identity.feed.stores import StoreUnavailableError

_BUSY_SECONDS = 5
_WAL_ATTEMPTS = 20
_WAL_PAUSE_SECONDS = 0.05


class Database:
    """One SQL database. Reads and changes are separate, because SQLite must know before the first statement."""

    def __init__(self, url: str) -> None:
        self._engine = _create_engine(url)
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def engine(self) -> AsyncEngine:
        """The engine, for migrations."""
        return self._engine

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Opens a session for single statements that only read."""
        with _unavailable_if_away():
            async with AsyncSession(self._reader, expire_on_commit=False) as session:
                yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Opens a transaction that commits when the block ends well; on SQLite it is the only writer meanwhile."""
        with _unavailable_if_away():
            async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
                yield session

    async def close(self) -> None:
        """Closes every connection."""
        await self._engine.dispose()


_AWAY = (OperationalError, InterfaceError, DisconnectionError, PoolTimeoutError, OSError)


@contextmanager
def _unavailable_if_away() -> Iterator[None]:
    """Turns a driver's ways of saying "not now" into `StoreUnavailableError`; programming errors stay what they are."""
    try:
        yield
    except (DBAPIError, *_AWAY) as error:
        if isinstance(error, _AWAY) or error.connection_invalidated or _lacks_a_table(error):
            raise StoreUnavailableError("The database", type(error).__name__) from error
        raise


def _lacks_a_table(error: DBAPIError) -> bool:
    """PostgreSQL calls it a mistake of ours that a table is missing (SQLite does not); but it is being restored (F25)."""
    return getattr(error.orig, "sqlstate", None) == "42P01"


def _create_engine(url: str) -> AsyncEngine:
    if url.startswith("sqlite"):
        engine = create_async_engine(url, connect_args={"timeout": _BUSY_SECONDS})
        _prepare_sqlite(engine.sync_engine)
        return engine
    return _create_postgresql_engine(url)


def _create_postgresql_engine(url: str) -> AsyncEngine:
    from identity.store.sql.postgresql import STATEMENT_SECONDS, ImpatientConnection

    limit = STATEMENT_SECONDS * 1000
    return create_async_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_timeout=_BUSY_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "async_creator_fn": ImpatientConnection.connect,
            "connect_timeout": _BUSY_SECONDS,
            "options": f"-c statement_timeout={limit} -c lock_timeout={limit}",
        },
    )


def _prepare_sqlite(engine: Engine) -> None:
    """WAL, foreign keys, full durability, and `BEGIN IMMEDIATE`: a deferred transaction that reads and then writes can
    lose its read to another writer, and by default does so silently."""

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        _switch_to_wal(cursor)
        for pragma in ("foreign_keys=ON", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")


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
