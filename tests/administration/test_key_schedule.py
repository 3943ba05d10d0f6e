"""Rotation by itself: when it is due, when it waits, and when it waits no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from issuer_in_process import Issuer

from identity.administration.key_schedule import RotationSchedule
from identity.store.redis.verifiers import RedisVerifiers

DAY = 86_400.0


@dataclass
class Clocks:
    wall: float
    monotonic: float = 0.0


@dataclass
class Trail:
    events: list[tuple[str, str]] = field(default_factory=list)

    def record(self, event: str, *, detail: str = "", **_: str) -> None:
        self.events.append((event, detail))


Make = Callable[[float], Awaitable[tuple[RotationSchedule, Clocks, Trail]]]


@pytest.fixture
def make(issuer: Issuer) -> Make:
    """A schedule for the keys of a running server, on clocks of its own."""

    async def made(lifetime: float) -> tuple[RotationSchedule, Clocks, Trail]:
        clocks, trail = Clocks((await issuer.keys.list()).current.created_at), Trail()
        schedule = RotationSchedule(
            issuer.keys, trail, lifetime, wall=lambda: clocks.wall, monotonic=lambda: clocks.monotonic
        )
        return schedule, clocks, trail

    return made


async def publish_long_enough(issuer: Issuer) -> None:
    """As if the running server had published its keys for an hour."""
    redis = issuer.stores.redis
    async with asyncio.timeout(5):
        while not (servers := await redis.execute("KEYS", "{servers}:*")):
            await asyncio.sleep(0.02)
    for server in servers:
        for kid in await redis.execute("HKEYS", server):
            await redis.execute("HINCRBY", server, kid, -3_600_000)


async def test_a_key_that_is_not_due_goes_on_signing(issuer: Issuer, make: Make) -> None:
    before = await issuer.keys.list()
    schedule, clocks, trail = await make(30 * DAY)
    clocks.wall += 30 * DAY - 1
    await schedule.look()
    assert (await issuer.keys.list()).current == before.current
    assert trail.events == []


async def test_a_key_that_is_due_waits_for_the_gate(issuer: Issuer, make: Make) -> None:
    """K01: the server has published the next key for a moment only."""
    before = await issuer.keys.list()
    schedule, clocks, trail = await make(30 * DAY)
    clocks.wall += 31 * DAY
    for clocks.monotonic in (0.0, DAY - 1):
        await schedule.look()
    assert (await issuer.keys.list()).current == before.current
    assert trail.events == []


async def test_a_key_that_is_due_is_replaced_when_the_next_one_is_ready(issuer: Issuer, make: Make) -> None:
    schedule, clocks, trail = await make(30 * DAY)
    before, verifiers = (await issuer.keys.list()), RedisVerifiers(issuer.stores.redis)
    clocks.wall += 31 * DAY
    await publish_long_enough(issuer)
    await verifiers.report("orders", "slow", None, [before.current.kid])
    await schedule.look()
    assert (await issuer.keys.list()).current == before.current
    await verifiers.report("orders", "slow", None, [before.current.kid, before.next.kid])
    await schedule.look()
    assert (await issuer.keys.list()).current.kid == before.next.kid
    assert trail.events == [("keys.rotated", before.next.kid)]


async def test_one_forgotten_verifier_does_not_keep_a_key_for_ever(issuer: Issuer, make: Make) -> None:
    """DESIGN 6: after a day it is rotated all the same, and the audit trail names who was not ready."""
    schedule, clocks, trail = await make(30 * DAY)
    before = await issuer.keys.list()
    clocks.wall += 31 * DAY
    await RedisVerifiers(issuer.stores.redis).report("orders", "frozen", None, [before.current.kid])
    await schedule.look()
    clocks.monotonic += DAY
    await schedule.look()
    assert (await issuer.keys.list()).current.kid == before.next.kid
    ((event, detail),) = trail.events
    assert event == "keys.rotation_forced"
    assert "the verifier orders/frozen does not hold it" in detail


async def test_a_jump_of_the_wall_clock_does_not_end_the_patience(issuer: Issuer, make: Make) -> None:
    """K09, F14"""
    schedule, clocks, _ = await make(30 * DAY)
    before = await issuer.keys.list()
    for days in (365, 3650):
        clocks.wall += days * DAY
        await schedule.look()
    assert (await issuer.keys.list()).current == before.current


async def test_of_two_servers_that_look_at_once_one_rotates(issuer: Issuer, make: Make) -> None:
    """K07: a compare-and-set, no leader."""
    await publish_long_enough(issuer)
    before = await issuer.keys.list()
    pair = [await make(30 * DAY), await make(30 * DAY)]
    for _, clocks, _ in pair:
        clocks.wall += 31 * DAY
    await asyncio.gather(*(schedule.look() for schedule, _, _ in pair))
    assert (await issuer.keys.list()).current.kid == before.next.kid
    assert [event for _, _, trail in pair for event in trail.events] == [("keys.rotated", before.next.kid)]
