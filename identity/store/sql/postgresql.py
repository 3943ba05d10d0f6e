"""Connections to PostgreSQL that give up on a server which says nothing.

PostgreSQL ends a statement that takes too long, and the driver bounds how long it connects. A line on which every byte is lost
is noticed by neither: without this, whoever waited for an answer would wait for ever, and keep its place in the pool.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any, Final, TypeVar

from psycopg import AsyncConnection
from psycopg.abc import PQGen

STATEMENT_SECONDS: Final = 5
"""How long PostgreSQL works on a statement, or lets it wait for a lock, before it refuses."""

SILENCE_SECONDS: Final = STATEMENT_SECONDS + 1
"""How long nothing is heard before the connection is given up; a living server has refused by then."""

T = TypeVar("T")


class ImpatientConnection(AsyncConnection[Any]):
    """Hangs up when an answer takes too long. The driver then finds the connection closed, which everybody can handle; a
    cancellation instead would have it ask the silent server to stop, and wait for that answer."""

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Waits for whatever the driver expects; everything but connecting comes through here."""
        patience = asyncio.get_running_loop().call_later(SILENCE_SECONDS, self._hang_up)
        try:
            return await super().wait(gen, *args, **kwargs)
        finally:
            patience.cancel()

    def _hang_up(self) -> None:
        with suppress(OSError), socket.socket(fileno=os.dup(self.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)
