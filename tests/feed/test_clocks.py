"""A server whose clock is wrong says so and leaves the balancer (F14, DESIGN 10)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest
from engines import database, redis, sql

from identity.feed.clocks import LARGEST_SKEW, Clocks, skew_of
from identity.feed.stores import StoreUnavailableError
from identity.store.redis.clock import RedisClock
from identity.store.redis.connection import RedisConnection
from identity.store.sql.clock import SqlClock
from identity.store.sql.engine import Database

__all__ = ["database", "redis", "sql"]


@dataclass
class Apart:
    """A store whose clock differs from ours, whose answers take their time, or that is away."""

    seconds: float = 0.0
    takes: float = 0.0
    is_away: bool = False

    async def now(self) -> float:
        if self.is_away:
            raise StoreUnavailableError("It")
        told = time.time() + self.seconds
        await asyncio.sleep(self.takes)
        return told


async def test_sql_says_what_time_it_is(database: Database) -> None:
    """F14: on both engines; they run on this machine."""
    assert abs(await skew_of(SqlClock(database))) < 1


async def test_redis_says_what_time_it_is(redis: RedisConnection) -> None:
    """F14"""
    assert abs(await skew_of(RedisClock(redis))) < 1


@pytest.mark.parametrize("seconds", [-600.0, -6.0, 6.0, 600.0])
async def test_a_clock_that_is_more_than_five_seconds_away_is_a_problem_until_it_is_not(seconds: float) -> None:
    """F14: in both directions."""
    store = Apart(seconds)
    clocks = Clocks({"the database": Apart(), "Redis": store})
    await clocks.look()
    direction = "ahead of" if seconds > 0 else "behind"
    assert clocks.problem == f"The clock of Redis is {abs(seconds):.0f} s {direction} this machine's"
    store.seconds = LARGEST_SKEW - 1
    await clocks.look()
    assert clocks.problem == ""


async def test_an_answer_that_takes_its_time_is_no_skew() -> None:
    """F05: a slow store is not a wrong clock."""
    assert await skew_of(Apart(takes=0.2)) == 0.0
    assert await skew_of(Apart(seconds=0.1, takes=0.2)) == 0.0


async def test_a_store_that_is_away_changes_nothing() -> None:
    """I7: and the loop goes on."""
    store = Apart(60)
    clocks = Clocks({"Redis": store})
    running = asyncio.create_task(clocks.run())
    while not clocks.problem:
        await asyncio.sleep(0.01)
    store.is_away = True
    with pytest.raises(StoreUnavailableError):
        await clocks.look()
    assert clocks.problem
    assert not running.done()
    running.cancel()
