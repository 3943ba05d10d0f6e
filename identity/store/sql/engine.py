"""Connections to SQL: one way to read, one way to change, and one error when the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from identity.feed.stores import StoreConflictError, StoreUnavailableError
from identity.store.sql.circuit import Circuit

ANSWER_SECONDS: Final = 2.0
"""How long one statement may take, a wait for a lock included, while somebody waits for an answer."""

WORK_SECONDS: Final = 120.0
"""The same for what nobody waits for: whole tables, migrations."""

_TURN_SECONDS = 2.0
"""How long a caller waits for one of the connections, when all are in use."""

CONNECTIONS: Final = 10
"""Connections of one process to the database, unless a setting says otherwise."""

RESERVED_CONNECTIONS: Final = 2
"""Beside them, for what every request depends on."""


class Driver(Protocol):
    """What differs between SQLite and PostgreSQL. Connections are in autocommit mode, and hold nothing between transactions."""

    @property
    def engine(self) -> AsyncEngine:
        """Makes and keeps connections."""

    async def begin(self, connection: AsyncConnection, *, changes: bool, seconds: float) -> None:
        """Begins a transaction whose statements may take so long; the first word a connection hears, old or new."""

    def is_silence(self, error: BaseException | None) -> bool:
        """Tells whether the driver's error says that nothing was heard of the server."""

    def is_conflict(self, error: BaseException | None) -> bool:
        """Tells whether the driver's error says that a whole transaction was undone because of another."""


class Database:
    """One SQL database. Reads and changes are separate, because SQLite must know before the first statement."""

    def __init__(self, url: str, connections: int = CONNECTIONS) -> None:
        self._driver = _driver(url, connections + RESERVED_CONNECTIONS)
        self._turns = asyncio.Semaphore(connections)
        self._circuit = Circuit()

    @property
    def engine(self) -> AsyncEngine:
        """The engine, for those who look at it from outside."""
        return self._driver.engine

    @asynccontextmanager
    async def read(self, seconds: float = ANSWER_SECONDS, *, reserved: bool = False) -> AsyncIterator[AsyncSession]:
        """Opens a session that reads the database as it was at one moment. `reserved` is for what every request depends on:
        it takes no turn, so nothing that holds up the others, a lock for instance, holds it up as well."""
        if reserved:
            async with self._session(changes=False, seconds=seconds) as session:
                yield session
            return
        async with self._turn(), self._session(changes=False, seconds=seconds) as session:
            yield session

    @asynccontextmanager
    async def transaction(self, seconds: float = ANSWER_SECONDS) -> AsyncIterator[AsyncSession]:
        """Opens a transaction that commits when the block ends well; on SQLite it is the only writer meanwhile."""
        async with self._turn(), self._session(changes=True, seconds=seconds) as session:
            yield session

    async def close(self) -> None:
        """Closes every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreUnavailableError("The database", "every connection is in use") from None
        try:
            yield
        finally:
            self._turns.release()

    @asynccontextmanager
    async def _session(self, *, changes: bool, seconds: float) -> AsyncIterator[AsyncSession]:
        with self._unavailable_if_away():
            async with (
                self._connection(changes=changes, seconds=seconds) as connection,
                AsyncSession(connection, expire_on_commit=False) as session,
            ):
                yield session
                if changes:
                    await session.flush()
                    await connection.commit()

    @asynccontextmanager
    async def _connection(self, *, changes: bool, seconds: float) -> AsyncIterator[AsyncConnection]:
        with self._circuit.attempt():
            connection = await self._begun(changes=changes, seconds=seconds)
        try:
            yield connection
        finally:
            # Shielded: a caller who goes away in this moment must not take the connection along.
            await asyncio.shield(connection.close())

    async def _begun(self, *, changes: bool, seconds: float) -> AsyncConnection:
        """Returns a connection in a new transaction. One that rested may be dead, after a restart for instance: that shows
        with its first word, before which nothing was done, and all that rested are given up; so a second one is new."""
        for may_be_old in (True, False):
            connection = await self.engine.connect()
            try:
                await self._driver.begin(connection, changes=changes, seconds=seconds)
                return connection
            except BaseException as error:
                is_dead = isinstance(error, DBAPIError) and error.connection_invalidated
                await asyncio.shield(connection.close())
                if not (is_dead and may_be_old) or self._driver.is_silence(_origin(error)):
                    raise
        raise AssertionError

    @contextmanager
    def _unavailable_if_away(self) -> Iterator[None]:
        """Turns a driver's ways of saying "not now" into `StoreUnavailableError`; programming errors stay what they are."""
        try:
            yield
        except (DBAPIError, *_AWAY) as error:
            origin = _origin(error)
            if self._driver.is_silence(origin):
                self._circuit.open()
            if self._driver.is_conflict(origin):
                raise StoreConflictError("The database", type(origin).__name__) from error
            if isinstance(error, _AWAY) or error.connection_invalidated or _lacks_a_table(origin):
                raise StoreUnavailableError("The database", type(origin or error).__name__) from error
            raise


_AWAY = (OperationalError, InterfaceError, DisconnectionError, PoolTimeoutError, OSError)


def _origin(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else None


def _lacks_a_table(origin: BaseException | None) -> bool:
    """PostgreSQL calls it a mistake of ours that a table is missing (SQLite does not); but it is being restored (F25)."""
    return getattr(origin, "sqlstate", None) == "42P01"


def _driver(url: str, connections: int) -> Driver:
    if url.startswith("sqlite"):
        from identity.store.sql.sqlite import Sqlite

        return Sqlite(url, connections)
    from identity.store.sql.postgresql import Postgresql

    return Postgresql(url, connections)
