"""Which verifiers live: noted in Redis for all servers, on Redis's clock."""

from __future__ import annotations

import asyncio

from identity.feed.rules import Head
from identity.feed.verifiers import Acknowledgement, wait_until_applied
from identity.store.redis.connection import RedisConnection
from identity.store.redis.verifiers import RedisVerifiers

HEAD = Head("e1", 7)


def behind(seq: int) -> Head:
    return Head("e1", seq)


async def test_a_verifier_is_known_by_what_its_last_poll_said(redis: RedisConnection) -> None:
    """DESIGN 8: resource, instance, cursor, kids."""
    verifiers = RedisVerifiers(redis)
    await verifiers.report("orders", "b", None, [])
    await verifiers.report("orders", "a", behind(3), ["k1", "k2"])
    await verifiers.report("orders", "b", HEAD, ["k2"])
    first, second = await RedisVerifiers(redis).live()
    assert (first.name, first.applied, first.kids) == ("orders/a", behind(3), ("k1", "k2"))
    assert (second.name, second.applied, second.kids) == ("orders/b", HEAD, ("k2",))
    assert 0 <= first.silent < 5


async def test_what_a_later_poll_said_is_not_taken_back_by_one_that_it_overtook(redis: RedisConnection) -> None:
    """K01: else a rotation is held up by a verifier that holds the key, and a rule seems not to have reached it."""
    verifiers = RedisVerifiers(redis)
    await verifiers.report("orders", "a", behind(3), ["k1"], turn=9)
    await verifiers.report("orders", "a", HEAD, ["k1", "k2"], turn=11)
    await verifiers.report("orders", "a", behind(3), ["k1"], turn=10)
    (only,) = await verifiers.live()
    assert (only.applied, only.kids) == (HEAD, ("k1", "k2"))
    await verifiers.report("orders", "a", None, [])
    (only,) = await verifiers.live()
    assert (only.applied, only.kids) == (None, ()), "who does not count its polls is believed as they come"


async def test_resources_may_name_their_instances_alike(redis: RedisConnection) -> None:
    verifiers = RedisVerifiers(redis)
    await verifiers.report("orders", "a", HEAD, [])
    await verifiers.report("bills", "a", None, [])
    assert [each.name for each in await verifiers.live()] == ["bills/a", "orders/a"]


async def test_a_silent_verifier_is_gone_after_a_while(redis: RedisConnection) -> None:
    """I6: nothing is kept for ever."""
    verifiers = RedisVerifiers(redis, silence=0.2)
    await verifiers.report("orders", "old", HEAD, [])
    async with asyncio.timeout(5):
        while await verifiers.live():
            await asyncio.sleep(0.02)
    await verifiers.report("orders", "new", HEAD, [])
    assert [each.instance for each in await verifiers.live()] == ["new"]


async def test_invented_instances_take_no_place_of_known_ones(redis: RedisConnection) -> None:
    """I6"""
    verifiers = RedisVerifiers(redis, kept=2)
    for instance in ("one", "two", "three", "four"):
        await verifiers.report("orders", instance, None, [])
    await verifiers.report("orders", "two", HEAD, [])
    assert [(each.instance, each.applied) for each in await verifiers.live()] == [("one", None), ("two", HEAD)]


async def test_waiting_ends_when_the_last_verifier_has_applied_the_rule(redis: RedisConnection) -> None:
    """DESIGN 8: "acknowledged by 2 of 2"."""
    verifiers, told = RedisVerifiers(redis), list[Acknowledgement]()
    await verifiers.report("orders", "a", behind(6), [])
    await verifiers.report("orders", "b", None, [])
    waiting = asyncio.create_task(wait_until_applied(verifiers, HEAD, 10, told.append))
    for number, instance in enumerate(("a", "b")):
        async with asyncio.timeout(5):
            while len(told) <= number:
                await asyncio.sleep(0.01)
        await verifiers.report("orders", instance, HEAD, [])
    state = await waiting
    assert str(state).startswith("acknowledged by 2 of 2 verifiers in ")
    assert [len(each.applied) for each in told] == [0, 1]


async def test_waiting_names_whoever_did_not_apply_it_in_time(redis: RedisConnection) -> None:
    """Another history's numbers say nothing about this one."""
    verifiers = RedisVerifiers(redis)
    await verifiers.report("orders", "ahead", behind(8), [])
    await verifiers.report("orders", "late", behind(6), [])
    await verifiers.report("orders", "elsewhere", Head("e0", 99), [])
    state = await wait_until_applied(verifiers, HEAD, 0.1, lambda _: None)
    assert [each.instance for each in state.applied] == ["ahead"]
    assert [each.instance for each in state.late] == ["elsewhere", "late"]


async def test_where_nobody_follows_nobody_is_waited_for(redis: RedisConnection) -> None:
    state = await wait_until_applied(RedisVerifiers(redis), HEAD, 10, lambda _: None)
    assert str(state).startswith("acknowledged by 0 of 0 verifiers")
