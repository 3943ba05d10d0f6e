"""What can be done to the PostgreSQL of an experiment: ended like a power failure, held up, slowed down, filled up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from engines import postgresql_uri, scratch
from laboratory import Installation

_PATIENCE_SECONDS = 20.0


class Server:
    """The server of this run. Only one test at a time uses it in a process, and it is up again afterwards."""

    def __init__(self) -> None:
        postgresql_uri()  # It runs.
        self._data = scratch() / "postgresql"
        program, self._options = (self._data / "postmaster.opts").read_text().split(maxsplit=1)
        self._control = str(Path(program).with_name("pg_ctl"))

    async def kill(self) -> None:
        """Ends it at once: nothing is finished, nothing is said, and it has to recover when it starts."""
        await self._do("stop", "-m", "immediate")

    async def start(self) -> None:
        """Returns when it answers."""
        await self._do("start", "-o", self._options.strip(), "-l", str(self._data / "log"))

    async def _do(self, *order: str) -> None:
        account = {"user": self._data.stat().st_uid} if os.getuid() == 0 else {}
        process = await asyncio.create_subprocess_exec(
            self._control, "-D", str(self._data), "-w", *order, stdout=asyncio.subprocess.DEVNULL, **account
        )
        async with asyncio.timeout(_PATIENCE_SECONDS):
            assert await process.wait() == 0, order


class Tables:
    """The database of one installation, and strangers in it."""

    def __init__(self, lab: Installation) -> None:
        self.name = urlsplit(lab.environment["IDENTITY_DATABASE_URL"]).path.strip("/")
        self._uri = postgresql_uri().replace("/postgres?", f"/{self.name}?")

    async def prepare(self) -> None:
        """What is acknowledged here is on the disk, unlike in other tests; for connections to come, so the others end."""
        await self.do(f"ALTER DATABASE {self.name} SET synchronous_commit = on")
        await self.disconnect()

    async def disconnect(self) -> None:
        """Ends everybody's connection."""
        await self.do(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}' AND pid <> pg_backend_pid()"
        )

    async def do(self, *statements: str) -> list[Any]:
        """Executes statements; returns the rows of the last."""
        async with self.stranger() as stranger:
            for statement in statements:
                cursor = await stranger.execute(statement)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection of nobody in the product."""
        async with await psycopg.AsyncConnection.connect(self._uri, autocommit=True) as connection:
            yield connection

    async def hold(self, table: str, seconds: float) -> None:
        """Holds the table, readers included."""
        async with self.stranger() as stranger, stranger.transaction():
            await stranger.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(seconds)

    async def slow_down(self, table: str, seconds: float) -> None:
        """Makes every new row of the table take a minute."""
        await self.do(
            "CREATE OR REPLACE FUNCTION slow() RETURNS trigger AS"
            " $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$ LANGUAGE plpgsql",
            f"CREATE TRIGGER slow BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        await asyncio.sleep(seconds)
        await self.do(f"DROP TRIGGER slow ON {table}")

    async def deadlock(self, seconds: float) -> int:
        """Takes the head and then the audit trail, which a revocation takes the other way round: it loses, again and again.
        Returns how often."""
        lost, until = 0, asyncio.get_running_loop().time() + seconds
        before = await self._deadlocks()
        while asyncio.get_running_loop().time() < until:
            async with self.stranger() as stranger:
                await stranger.execute("SET deadlock_timeout = '20s'")
                async with stranger.transaction():
                    await stranger.execute("UPDATE feed_head SET seq = seq")
                    await asyncio.sleep(0.2)
                    await stranger.execute("LOCK TABLE audit_event IN SHARE ROW EXCLUSIVE MODE")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (lost := await self._deadlocks() - before) == 0:
                await asyncio.sleep(0.2)
        return lost

    async def _deadlocks(self) -> int:
        ((count,),) = await self.do(
            f"SELECT coalesce(sum(deadlocks), 0)::int FROM pg_stat_database WHERE datname = '{self.name}'"
        )
        return int(count)

    async def narrow(self, role: str, connections: int, seconds: float) -> None:
        """Leaves a role so few connections for a while; those there are end."""
        await self.do(f"ALTER ROLE {role} CONNECTION LIMIT {connections}")
        await self.disconnect()
        await asyncio.sleep(seconds)
        await self.do(f"ALTER ROLE {role} CONNECTION LIMIT -1")
