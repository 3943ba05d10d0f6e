"""How many tokens each key signed: counted in memory, added up in Redis over all servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from engines import keys

from identity.feed.stores import StoreUnavailableError
from identity.store.embedded import EmbeddedValkey
from identity.store.noting import keep_writing
from identity.store.redis.connection import RedisConnection, connect
from identity.store.redis.issued import RedisIssueCounts
from identity.tokens.issued import HOUR, Holder, IssuedTokens

NOW = int(time.time())
THIS_HOUR = NOW // HOUR * HOUR
SHOP = Holder("shop", "https://orders.example.com")


async def test_tokens_add_up_over_servers_by_key_client_resource_and_hour(redis: RedisConnection) -> None:
    """DESIGN 6: one counter for each."""
    here, there = RedisIssueCounts(redis), RedisIssueCounts(redis)
    for _ in range(3):
        here.count("k1", *SHOP, NOW)
    here.count("k1", *SHOP, NOW - HOUR)
    here.count("k2", *SHOP, NOW)
    there.count("k1", *SHOP, NOW)
    there.count("k1", "cron", "https://bills.example.com", NOW)
    for counts in (here, there, here):
        await counts.flush()
    bills = Holder("cron", "https://bills.example.com")
    assert await here.signed_by(["k1"]) == [
        IssuedTokens("k1", SHOP, THIS_HOUR - HOUR, 1),
        IssuedTokens("k1", bills, THIS_HOUR, 1),
        IssuedTokens("k1", SHOP, THIS_HOUR, 4),
    ]
    assert len(await there.signed_by(["k2", "k1"])) == 4
    assert await here.signed_by(["k3"]) == []


async def test_what_was_counted_is_forgotten_after_a_week(redis: RedisConnection) -> None:
    """I6: nothing is kept for ever."""
    counts = RedisIssueCounts(redis)
    counts.count("k1", *SHOP, NOW - 6 * 24 * HOUR)
    counts.count("k1", *SHOP, NOW - 8 * 24 * HOUR)
    await counts.flush()
    (key,) = await keys(redis, "{issued}:*")
    assert 0 < await redis.execute("TTL", key) <= 24 * HOUR + HOUR
    assert [each.hour for each in await counts.signed_by(["k1"])] == [(NOW - 6 * 24 * HOUR) // HOUR * HOUR]


async def test_counts_wait_for_a_redis_that_is_away(own_valkey: EmbeddedValkey) -> None:
    connection = connect(own_valkey.url)
    counts = RedisIssueCounts(connection)
    counts.count("k1", *SHOP, NOW)
    own_valkey.stop()
    with pytest.raises(StoreUnavailableError):
        await counts.flush()
    counts.count("k1", *SHOP, NOW)
    own_valkey.start()
    await counts.flush()
    await counts.flush()
    assert await counts.signed_by(["k1"]) == [IssuedTokens("k1", SHOP, THIS_HOUR, 2)]
    await connection.close()


async def test_what_is_being_written_is_not_written_twice(redis: RedisConnection) -> None:
    """A server that stops writes once more, while its last write may be under way."""
    counts = RedisIssueCounts(redis)
    for _ in range(5):
        counts.count("k1", *SHOP, NOW)
    await asyncio.gather(*(counts.flush() for _ in range(3)))
    assert await counts.signed_by(["k1"]) == [IssuedTokens("k1", SHOP, THIS_HOUR, 5)]
    assert not counts._waiting


async def test_no_more_than_ten_thousand_different_counters_wait(redis: RedisConnection) -> None:
    """I6: of a store that stays away nobody's memory fills."""
    counts = RedisIssueCounts(redis)
    for number in range(10_050):
        counts.count("k1", f"c{number}", SHOP.audience, NOW)
    counts.count("k1", "c0", SHOP.audience, NOW)
    assert len(counts._waiting) == 10_000
    assert counts._waiting["k1", "c0", SHOP.audience, NOW // HOUR] == 2


@asynccontextmanager
async def writing(counts: RedisIssueCounts) -> AsyncIterator[None]:
    task = asyncio.create_task(keep_writing(counts))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_running_server_writes_by_itself(redis: RedisConnection) -> None:
    counts = RedisIssueCounts(redis)
    counts.pause_seconds = 0.01
    async with writing(counts), asyncio.timeout(5):
        counts.count("k1", *SHOP, NOW)
        while not await counts.signed_by(["k1"]):
            await asyncio.sleep(0.01)
