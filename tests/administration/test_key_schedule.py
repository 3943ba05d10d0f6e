"""Rotation by itself: when it is due, when it waits, and when it waits no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from issuer_in_process import Issuer

from identity.administration.key_schedule import RotationSchedule
from identity.administration.keys import SigningKeys
from identity.store.redis.publications import RedisPublications
from identity.store.redis.verifiers import RedisVerifiers
from identity.wiring.parts import signing_keys

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


def of_several(issuer: Issuer, *algorithms: str) -> SigningKeys:
    """The same keys, where the settings name these algorithms."""
    settings = issuer.settings.model_copy(update={"signing_algorithms": ("RS256", *algorithms)})
    return signing_keys(settings, issuer.stores)


async def test_k01_an_algorithm_that_the_settings_name_is_added_and_signs_when_the_gate_opens(issuer: Issuer) -> None:
    """K04: published at once, promoted by itself; the key of RS256, which is not due, goes on."""
    clocks, trail, keys = Clocks((await issuer.keys.list()).current.created_at), Trail(), of_several(issuer, "ES256")
    schedule = RotationSchedule(keys, trail, 30 * DAY, wall=lambda: clocks.wall, monotonic=lambda: clocks.monotonic)
    before = await keys.list()
    for _ in range(2):
        await schedule.look()
    added = await keys.list()
    assert (tuple(added.currents), tuple(added.nexts)) == (("RS256",), ("RS256", "ES256"))
    first = added.nexts["ES256"].kid
    assert trail.events == [("keys.added", f"{first} ES256")]
    async with asyncio.timeout(5):
        while issuer.app.state.keys.now.keyring.version < added.version:
            await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        while not all(first in kids for kids in (await RedisPublications(issuer.stores.redis).servers()).values()):
            await asyncio.sleep(0.02)
    await publish_long_enough(issuer)
    await schedule.look()
    promoted = await keys.list()
    assert promoted.currents["ES256"].kid == first
    assert (promoted.current, promoted.next) == (before.current, before.next)
    assert trail.events[1:] == [("keys.rotated", first)]


async def test_all_algorithms_that_are_due_rotate_in_one_step(issuer: Issuer) -> None:
    keys = of_several(issuer, "ES256", "EdDSA")
    for algorithm in ("ES256", "EdDSA"):
        await keys.add(algorithm)
    before = await keys.rotate(force=True)
    clocks, trail = Clocks(before.current.promoted_at or 0), Trail()
    schedule = RotationSchedule(keys, trail, 30 * DAY, wall=lambda: clocks.wall, monotonic=lambda: clocks.monotonic)
    clocks.wall += 31 * DAY
    await schedule.look()
    clocks.monotonic += DAY
    await schedule.look()
    after = await keys.list()
    assert after.version == before.version + 1
    assert {name: record.kid for name, record in after.currents.items()} == {
        name: record.kid for name, record in before.nexts.items()
    }
    ((event, detail),) = trail.events
    assert event == "keys.rotation_forced"
    assert detail.split()[:3] == [before.nexts[name].kid for name in ("RS256", "ES256", "EdDSA")]


async def test_a_patience_that_began_for_one_algorithm_does_not_count_for_another(issuer: Issuer) -> None:
    """K01: what has been held up since yesterday must not take along what is due since now."""
    keys = of_several(issuer, "ES256")
    clocks, trail = Clocks((await keys.list()).current.created_at), Trail()
    schedule = RotationSchedule(keys, trail, 30 * DAY, wall=lambda: clocks.wall, monotonic=lambda: clocks.monotonic)
    await schedule.look()
    clocks.wall += 31 * DAY
    clocks.monotonic += DAY - 1
    await schedule.look()
    clocks.monotonic += 2
    await schedule.look()
    assert [event for event, _ in trail.events] == ["keys.added"]
