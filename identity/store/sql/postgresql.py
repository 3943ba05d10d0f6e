"""Connections to PostgreSQL that keep nothing between transactions, and give up on a server which says nothing.

Whatever hands a server's connections from one transaction to another's may stand in between (PgBouncer in transaction mode,
RDS Proxy, Supavisor): nothing is prepared, nothing is set for longer than a transaction, no startup parameter is sent, and
locks end with their transaction. See docs/decisions/0017-connections-keep-nothing.md.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.abc import PQGen
from psycopg.errors import ConnectionTimeout, DeadlockDetected, SerializationFailure
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

CONNECT_SECONDS: Final = 2
"""How long is waited for a connection, and for a transaction to begin; the driver takes no less."""

GRACE_SECONDS: Final = 0.5
"""How long after a statement's time the connection is given up; a living server has refused by then."""

LOCK_SHARE: Final = 0.75
"""Of a statement's time, what it may wait for a lock."""

IDLE_SECONDS: Final = 5
"""How long PostgreSQL waits for the next statement of a transaction, with all its locks: a process that was frozen, or whose
machine is gone, would keep everybody from revoking anything."""

T = TypeVar("T")


class SilentServerError(OperationalError):
    """Nothing was heard of the server."""


class Postgresql:
    """Implements `engine.Driver`."""

    def __init__(self, url: str, connections: int) -> None:
        self._engine = sqlalchemy_asyncio.create_async_engine(
            url,
            pool_size=connections // 2,
            max_overflow=connections - connections // 2,
            pool_timeout=CONNECT_SECONDS,
            isolation_level="AUTOCOMMIT",
            use_native_hstore=False,
            connect_args={
                "async_creator_fn": ImpatientConnection.connect,
                "connect_timeout": CONNECT_SECONDS,
                "prepare_threshold": None,
            },
        )

    @property
    def engine(self) -> sqlalchemy_asyncio.AsyncEngine:
        """Makes and keeps connections."""
        return self._engine

    async def begin(self, connection: sqlalchemy_asyncio.AsyncConnection, *, changes: bool, seconds: float) -> None:
        """Begins a transaction and bounds everything in it, in one round trip."""
        line = (await connection.get_raw_connection()).driver_connection
        assert isinstance(line, ImpatientConnection)
        limits = {
            "statement_timeout": seconds,
            "lock_timeout": LOCK_SHARE * seconds,
            "idle_in_transaction_session_timeout": max(seconds, IDLE_SECONDS),
        }
        words = ["BEGIN" if changes else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]
        words += [f"SET LOCAL {name} = {int(1000 * limit)}" for name, limit in limits.items()]
        line.patience = CONNECT_SECONDS
        await connection.exec_driver_sql("; ".join(words))
        line.patience = seconds + GRACE_SECONDS

    def is_silence(self, error: BaseException | None) -> bool:
        """Tells whether the driver's error says that nothing was heard of the server."""
        return isinstance(error, (SilentServerError, ConnectionTimeout))

    def is_conflict(self, error: BaseException | None) -> bool:
        """Tells whether the driver's error says that a whole transaction was undone because of another."""
        return isinstance(error, (DeadlockDetected, SerializationFailure))


class ImpatientConnection(AsyncConnection[Any]):
    """Hangs up when an answer takes longer than `patience`. A line on which every byte is lost is noticed neither by the server
    nor by the driver: whoever waited would wait for ever, and keep its place in the pool.

    The driver then finds the connection closed, which everybody can handle; a cancellation instead would have it ask the
    silent server to stop, and wait for that answer."""

    patience: float = CONNECT_SECONDS
    _hung_up = False
    _waiting: asyncio.TimerHandle

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Waits for whatever the driver expects; everything but connecting comes through here."""
        self._wait_half(self._wait_half, self._hang_up)
        try:
            return await super().wait(gen, *args, **kwargs)
        except OperationalError as error:
            if self._hung_up:
                raise SilentServerError("nothing was heard of the server") from error
            raise
        finally:
            self._waiting.cancel()

    def _wait_half(self, then: Callable[..., None], *arguments: Any) -> None:
        # In two halves, for the reason given in `store/patience.py`; but nothing of the driver's is cancelled.
        self._waiting = asyncio.get_running_loop().call_later(self.patience / 2, then, *arguments)

    def _hang_up(self) -> None:
        self._hung_up = True
        with suppress(OSError), socket.socket(fileno=os.dup(self.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)
