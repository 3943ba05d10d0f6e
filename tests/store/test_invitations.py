"""Initial access tokens, on every database: each use is taken once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from identity.models import InitialAccessToken
from identity.store.redis.commands import RedisConnection
from identity.store.redis.throttle import RedisRegistrationThrottle
from identity.store.registry import RememberingRegistry
from identity.store.sql.engine import Database
from identity.store.sql.registrations import Registrations


async def invite(database: Database, token_hash: str, uses: int, seconds: float = 60) -> None:
    row = InitialAccessToken(
        token_hash=token_hash,
        name=f"invitation {token_hash}",
        policy={"scopes": ["openid"]},
        uses_left=uses,
        expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
    )
    async with database.transaction() as session:
        session.add(row)


async def take(database: Database, token_hash: str) -> str | None:
    async with database.transaction() as session:
        return await Registrations(session).take_invitation(token_hash)


async def test_f13_of_many_at_once_as_many_take_a_use_as_there_are(database: Database) -> None:
    await invite(database, "a", 3)
    taken = await asyncio.gather(*(take(database, "a") for _ in range(20)))
    assert sorted(taken, key=str) == [None] * 17 + ["invitation a"] * 3
    async with database.read() as session:
        (row,) = await Registrations(session).invitations()
    assert row.uses_left == 0


async def test_a_use_whose_transaction_fails_is_not_taken(database: Database) -> None:
    """The use and the client are all or nothing."""
    await invite(database, "a", 1)
    try:
        async with database.transaction() as session:
            assert await Registrations(session).take_invitation("a") == "invitation a"
            raise KeyError
    except KeyError:
        pass
    assert await take(database, "a") == "invitation a"
    assert await take(database, "a") is None


async def test_what_is_used_up_expired_or_unknown_is_good_for_nothing(database: Database) -> None:
    registry = RememberingRegistry(database, "https://login.example.com")
    await invite(database, "used", 0)
    await invite(database, "expired", 5, -1)
    await invite(database, "good", 1)
    assert [await take(database, each) for each in ("used", "expired", "unknown")] == [None] * 3
    assert [await registry.registration_policy(each) for each in ("used", "expired", "unknown")] == [None] * 3
    assert await registry.registration_policy("good") == {"scopes": ["openid"]}
    await take(database, "good")
    assert await registry.registration_policy("good") is None, "it is never answered from memory"


async def test_u04_registrations_are_counted_by_address_and_apart_from_logins(redis: RedisConnection) -> None:
    """Of IPv6 by network; exactly, also at once."""
    throttle = RedisRegistrationThrottle(redis, 3)
    waits = await asyncio.gather(*(throttle.admit(f"2001:db8::{number}") for number in range(9)))
    assert sum(wait == 0 for wait in waits) == 3
    assert all(0 < wait <= 900 for wait in waits if wait)
    assert await throttle.admit("192.0.2.1") == 0
