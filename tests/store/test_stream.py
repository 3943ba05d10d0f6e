"""The revocation stream in Redis: numbers without gaps, whoever appends, however often (I2, F-series)."""

import asyncio
import os
import time

import pytest

from identity.feed.rules import Head, NumberedRule
from identity.feed.stores import StoreUnavailableError
from identity.store.embedded import EmbeddedValkey
from identity.store.redis.connection import RedisConnection, connect
from identity.store.redis.feed import RedisStream


def rules(*numbers: int) -> list[NumberedRule]:
    return [NumberedRule(seq, "grant_id", os.urandom(16), seq % 2 == 0, 2_000_000_000 + seq) for seq in numbers]


async def begun(redis: RedisConnection, epoch: str = "e1") -> RedisStream:
    stream = RedisStream(redis)
    await stream.reset(epoch)
    return stream


async def everything(stream: RedisStream) -> list[NumberedRule]:
    return await stream.read_after(0, 0.05)


async def test_an_empty_redis_has_no_head(redis: RedisConnection) -> None:
    assert await RedisStream(redis).head() is None


async def test_rules_come_back_in_order_and_whole(redis: RedisConnection) -> None:
    """Every field survives, the one without an end too."""
    stream = await begun(redis)
    written = [*rules(1, 2), NumberedRule(3, "kid", b"\0" * 16, False, None)]
    assert await stream.append(Head("e1", 0), written, Head("e1", 3))
    assert await stream.head() == Head("e1", 3)
    assert await everything(stream) == written
    assert await stream.read_after(2, 0.05) == written[2:]


async def test_a_gap_is_refused_and_leaves_the_stream_as_it_was(redis: RedisConnection) -> None:
    """I2: nobody may jump over a rule."""
    stream = await begun(redis)
    await stream.append(Head("e1", 0), rules(1), Head("e1", 1))
    assert not await stream.append(Head("e1", 2), rules(3), Head("e1", 3))
    assert await stream.head() == Head("e1", 1)
    assert [rule.seq for rule in await everything(stream)] == [1]


async def test_a_repeat_succeeds_and_changes_nothing(redis: RedisConnection) -> None:
    """A command whose reply was lost is sent again."""
    stream = await begun(redis)
    first = rules(1, 2)
    for _ in range(3):
        assert await stream.append(Head("e1", 0), first, Head("e1", 2))
    assert await stream.append(Head("e1", 0), first[:1], Head("e1", 1))
    assert await everything(stream) == first


async def test_an_append_that_overlaps_what_is_there_is_refused_whole(redis: RedisConnection) -> None:
    stream = await begun(redis)
    await stream.append(Head("e1", 0), rules(1, 2), Head("e1", 2))
    assert not await stream.append(Head("e1", 1), rules(2, 3), Head("e1", 3))
    assert [rule.seq for rule in await everything(stream)] == [1, 2]


async def test_an_append_of_another_epoch_is_refused(redis: RedisConnection) -> None:
    """I2: numbers of two histories never mix."""
    stream = await begun(redis, "e2")
    assert not await stream.append(Head("e1", 0), rules(1), Head("e1", 1))
    assert await stream.head() == Head("e2", 0)


async def test_nothing_can_be_appended_to_a_redis_that_lost_its_feed(redis: RedisConnection) -> None:
    """I2: it must be rebuilt first."""
    assert not await RedisStream(redis).append(Head("e1", 0), rules(1), Head("e1", 1))
    assert await RedisStream(redis).head() is None


async def test_the_head_may_move_without_rules(redis: RedisConnection) -> None:
    """Numbers whose rules were purged are passed over."""
    stream = await begun(redis)
    assert await stream.append(Head("e1", 0), [], Head("e1", 90))
    assert await stream.append(Head("e1", 90), rules(91), Head("e1", 91))
    assert [rule.seq for rule in await everything(stream)] == [91]


async def test_reset_empties_the_stream_for_a_new_epoch_only(redis: RedisConnection) -> None:
    """Two processes that both find Redis empty do not undo each other's work."""
    stream = await begun(redis)
    await stream.append(Head("e1", 0), rules(1), Head("e1", 1))
    await stream.reset("e1")
    assert await stream.head() == Head("e1", 1)
    await stream.reset("e2")
    assert await stream.head() == Head("e2", 0)
    assert await everything(stream) == []


async def test_of_many_appends_at_one_place_exactly_one_is_kept(redis: RedisConnection) -> None:
    """SQL gives each number once; even if it did not, Redis would take it once."""
    stream = await begun(redis)
    attempts = [rules(1) for _ in range(50)]
    assert all(await asyncio.gather(*(stream.append(Head("e1", 0), each, Head("e1", 1)) for each in attempts)))
    kept = await everything(stream)
    assert len(kept) == 1
    assert kept in attempts


async def test_a_blocked_reader_returns_on_append(redis: RedisConnection) -> None:
    """A rule reaches every process within milliseconds."""
    stream = await begun(redis)
    reader = asyncio.create_task(stream.read_after(0, 0.9))
    await asyncio.sleep(0.05)
    appended = time.monotonic()
    await stream.append(Head("e1", 0), rules(1), Head("e1", 1))
    assert [rule.seq for rule in await reader] == [1]
    assert time.monotonic() - appended < 0.5


async def test_a_reader_without_news_returns_empty_after_its_wait(redis: RedisConnection) -> None:
    stream = await begun(redis)
    started = time.monotonic()
    assert await stream.read_after(0, 0.2) == []
    assert 0.15 < time.monotonic() - started < 0.9


async def test_a_blocked_reader_holds_nobody_up(redis: RedisConnection) -> None:
    """It waits on a connection of its own."""
    stream = await begun(redis)
    reader = asyncio.create_task(stream.read_after(0, 0.8))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    for _ in range(20):
        await stream.head()
    assert time.monotonic() - started < 0.5
    assert not reader.done()
    await reader


async def test_a_stream_that_is_away_is_an_error(own_valkey: EmbeddedValkey) -> None:
    """I5"""
    connection = connect(own_valkey.url)
    stream = await begun(connection)
    own_valkey.stop()
    for attempt in (stream.head(), stream.read_after(0, 0.2), stream.reset("e2")):
        with pytest.raises(StoreUnavailableError):
            await attempt
    with pytest.raises(StoreUnavailableError):
        await stream.append(Head("e1", 0), rules(1), Head("e1", 1))
    await connection.close()
