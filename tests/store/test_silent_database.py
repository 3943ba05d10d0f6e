"""A PostgreSQL that nothing is heard of any more, in the middle of a statement."""

import asyncio
from collections.abc import Awaitable
from urllib.parse import parse_qs, urlsplit

import pytest
from cut_line import lines
from dev_process import free_ports
from engines import postgresql_uri
from sqlalchemy import text

from identity.feed.stores import StoreUnavailableError
from identity.store.sql.engine import Database


async def test_silence_is_an_error_in_bounded_time_and_costs_one_connection() -> None:
    """I5, I6, I7, F26: who asked is told, and the next one is answered once the line is whole."""
    uri, (port,) = urlsplit(postgresql_uri()), free_ports(1)
    socket = f"{parse_qs(uri.query)['host'][0]}/.s.PGSQL.5432"
    database = Database(f"postgresql+psycopg://{uri.username}@127.0.0.1:{port}/postgres")

    async def ask(seconds: float) -> None:
        async with database.read(0.5) as session:
            await session.execute(text(f"SELECT pg_sleep({seconds})"))

    async with lines(sql=(port, socket)) as line:
        await ask(0)
        asking = asyncio.create_task(ask(0.3))
        await asyncio.sleep(0.1)  # it is under way
        await line.order(sql="silent")
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(asking, 5)
        await line.order(sql="pass")
        async with asyncio.timeout(2):
            while not await is_answered(ask(0)):
                await asyncio.sleep(0.05)
    await database.close()


async def is_answered(asking: Awaitable[None]) -> bool:
    try:
        await asking
    except StoreUnavailableError:
        return False
    return True
