"""A process that stood still, frozen or starved, finds its answers where they arrived meanwhile (I6)."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import text

from identity.store.redis.connection import TIMEOUT_SECONDS, RedisConnection
from identity.store.sql.engine import ANSWER_SECONDS, Database


async def test_redis_that_answered_while_this_process_stood_still_is_not_silent(valkey: RedisConnection) -> None:
    await valkey.execute("SET", "key", "value")
    asked = asyncio.create_task(valkey.execute("GET", "key"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(TIMEOUT_SECONDS + 0.2)
    assert await asked == "value"


async def test_a_database_that_answered_while_this_process_stood_still_is_not_silent(database: Database) -> None:
    async with database.read() as session:
        asked = asyncio.create_task(session.scalar(text("SELECT 7")))
        for _ in range(5):
            await asyncio.sleep(0)
        time.sleep(ANSWER_SECONDS + 0.7)
        assert await asked == 7
        assert await session.scalar(text("SELECT 8")) == 8
