"""Counting login attempts: exact under any concurrency, and no way to lock somebody else out (U04)."""

import asyncio

from engines import keys

from identity.store.redis.connection import RedisConnection
from identity.store.redis.throttle import RedisThrottle

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def throttle(redis: RedisConnection, per_account: int = 5, per_address: int = 100) -> RedisThrottle:
    return RedisThrottle(redis, per_account, per_address)


async def admitted(store: RedisThrottle, account: str, address: str, attempts: int) -> int:
    return [await store.admit(account, address) for _ in range(attempts)].count(None)


async def test_of_two_hundred_attempts_at_once_exactly_the_limit_is_admitted(redis: RedisConnection) -> None:
    """U04: counted before evaluation and atomically, over all replicas."""
    replicas = [throttle(redis, per_account=10, per_address=1000) for _ in range(4)]
    waits = await asyncio.gather(*(replicas[index % 4].admit("alice", f"10.0.0.{index}") for index in range(200)))
    assert waits.count(None) == 10


async def test_attempts_from_one_address_are_bounded_over_all_accounts(redis: RedisConnection) -> None:
    """U04: one password tried on many accounts."""
    store = throttle(redis, per_address=20)
    waits = await asyncio.gather(*(store.admit(f"person-{index}", HOME) for index in range(200)))
    assert waits.count(None) == 20
    assert await store.admit("person-0", ELSEWHERE) is None


async def test_a_refused_attempt_says_how_long_to_wait(redis: RedisConnection) -> None:
    """U04"""
    store = throttle(redis, per_account=1)
    assert await store.admit("alice", HOME) is None
    refusal = await store.admit("alice", HOME)
    assert refusal is not None
    assert 890 < refusal.retry_after <= 900


async def test_refused_attempts_do_not_lengthen_the_wait(redis: RedisConnection) -> None:
    """U04: a stranger who goes on hammering cannot keep the account shut."""
    store = throttle(redis, per_account=1)
    await store.admit("alice", HOME)
    for key in await keys(redis, "login:*"):
        await redis.execute("PEXPIRE", key, 5000)
    assert await admitted(store, "alice", HOME, 50) == 0
    refusal = await store.admit("alice", HOME)
    assert refusal is not None
    assert refusal.retry_after <= 5


async def test_the_account_can_be_tried_again_when_the_window_has_passed(redis: RedisConnection) -> None:
    """U04: a lockout ends by itself."""
    store = throttle(redis, per_account=1)
    await store.admit("alice", HOME)
    for key in await keys(redis, "login*"):
        await redis.execute("DEL", key)
    assert await store.admit("alice", HOME) is None


async def test_a_known_address_keeps_its_allowance_when_strangers_spend_the_accounts(redis: RedisConnection) -> None:
    """U04: lockout must not be a way to deny service."""
    store = throttle(redis)
    assert await store.admit("alice", HOME) is None
    await store.succeeded("alice", HOME)
    assert await admitted(store, "alice", ELSEWHERE, 50) == 5
    assert await admitted(store, "alice", HOME, 50) == 5


async def test_a_known_address_is_known_to_one_account_only(redis: RedisConnection) -> None:
    """U04: whoever may log in as themselves gains nothing against others."""
    store = throttle(redis)
    await store.admit("mallory", HOME)
    await store.succeeded("mallory", HOME)
    await admitted(store, "alice", ELSEWHERE, 50)
    assert await store.admit("alice", HOME) is not None


async def test_a_success_gives_its_attempt_back(redis: RedisConnection) -> None:
    """U04: a person who logs in all day is never throttled, and wrong guesses stay counted."""
    store = throttle(redis, per_account=3, per_address=3)
    for _ in range(20):
        assert await store.admit("alice", HOME) is None
        await store.succeeded("alice", HOME)
    assert await admitted(store, "alice", HOME, 10) == 3


async def test_a_success_does_not_forgive_wrong_guesses(redis: RedisConnection) -> None:
    """U04: a thief who also owns an account cannot clear the count of an address by logging in."""
    store = throttle(redis, per_account=100, per_address=5)
    assert await admitted(store, "alice", HOME, 4) == 4
    assert await store.admit("mallory", HOME) is None
    await store.succeeded("mallory", HOME)
    assert await admitted(store, "alice", HOME, 10) == 1


async def test_a_success_nobody_counted_does_not_make_the_count_negative(redis: RedisConnection) -> None:
    """U04"""
    store = throttle(redis, per_account=3, per_address=100)
    for _ in range(10):
        await store.succeeded("alice", HOME)
    assert await admitted(store, "alice", HOME, 10) == 3


async def test_an_attempt_refused_for_its_address_costs_the_account_nothing(redis: RedisConnection) -> None:
    """U04"""
    store = throttle(redis, per_account=5, per_address=1)
    await store.admit("somebody", ELSEWHERE)
    assert await admitted(store, "alice", ELSEWHERE, 50) == 0
    assert await admitted(store, "alice", HOME, 1) == 1


async def test_redis_learns_neither_names_nor_addresses(redis: RedisConnection) -> None:
    """A64: and everything it keeps has an end."""
    store = throttle(redis)
    await store.admit("alice", HOME)
    await store.succeeded("alice", HOME)
    await store.admit("lone surrogate \ud800", HOME)
    known = await keys(redis)
    assert known
    assert not [key for key in known if "alice" in key or HOME in key]
    assert all([await redis.execute("TTL", key) > 0 for key in known])


async def test_the_first_refusal_of_a_window_is_news_and_the_others_are_not(redis: RedisConnection) -> None:
    """F22: one alarm for each limit and window, over all replicas, whatever comes."""
    replicas = [throttle(redis, per_account=5, per_address=20) for _ in range(2)]
    one = await asyncio.gather(*(replicas[index % 2].admit("alice", f"10.0.0.{index}") for index in range(50)))
    assert [refusal.limit for refusal in one if refusal and refusal.is_first] == ["account"]
    other = await asyncio.gather(*(replicas[index % 2].admit(f"person-{index}", HOME) for index in range(50)))
    assert [refusal.limit for refusal in other if refusal and refusal.is_first] == ["address"]
    for key in await keys(redis, "login*"):
        await redis.execute("DEL", key)
    again = [await replicas[0].admit("alice", HOME) for _ in range(10)]
    assert [refusal.is_first for refusal in again if refusal] == [True, False, False, False, False]
