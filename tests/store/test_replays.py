"""What may be presented once, in Redis."""

from __future__ import annotations

import asyncio

from engines import keys

from identity.oauth.replays import Once
from identity.store.redis.connection import RedisConnection
from identity.store.redis.replays import RedisReplays


async def test_a53_of_any_number_at_once_one_is_the_first(redis: RedisConnection) -> None:
    """F13, A33: two servers, as far as the store can tell."""
    servers = [RedisReplays(redis), RedisReplays(redis)]
    told = await asyncio.gather(*(servers[n % 2].is_first(Once.DPOP_PROOF, "jti", 60) for n in range(50)))
    assert sorted(told) == [*[False] * 49, True]


async def test_a_thing_of_one_kind_says_nothing_about_another(redis: RedisConnection) -> None:
    """CVE-2026-4325."""
    replays = RedisReplays(redis)
    for kind in Once:
        assert await replays.is_first(kind, "the same", 60)
    for kind in Once:
        assert not await replays.is_first(kind, "the same", 60)
        assert await replays.is_first(kind, "another", 60)


async def test_a_command_that_was_sent_twice_is_no_replay(redis: RedisConnection) -> None:
    """Its answer was lost with the connection: nobody is taken for a thief because of that."""
    replays = RedisReplays(redis)
    assert [await replays._note("once:a", "attempt", 60) for _ in range(2)] == [True, True]
    assert not await replays._note("once:a", "another", 60)


async def test_what_was_presented_is_forgotten_in_time_and_never_readable(redis: RedisConnection) -> None:
    """A64."""
    replays = RedisReplays(redis)
    assert await replays.is_first(Once.CLIENT_ASSERTION, "secret-\ud800" * 100, 0.2)
    for key in await keys(redis):
        assert "secret" not in key
        assert len(key) < 100
    async with asyncio.timeout(5):
        while any(key.startswith("once:") for key in await keys(redis)):
            await asyncio.sleep(0.02)
    assert await replays.is_first(Once.CLIENT_ASSERTION, "secret-\ud800" * 100, 60)
