"""The refresh token families in Redis: the one step on which everything about replay rests (A45, A46, A47)."""

import asyncio
import secrets
import time
from collections import Counter

import pytest
from engines import everywhere, keys

from identity.feed.rules import Head, NumberedRule
from identity.feed.stores import StoreUnavailableError
from identity.store.embedded import EmbeddedValkey
from identity.store.redis.connection import RedisConnection, connect
from identity.store.redis.families import RedisFamilies
from identity.store.redis.feed import RedisStream
from identity.store.redis.keys import family_key
from identity.tokens.issued import Holder
from identity.tokens.refresh_token import Family, Generation, Step
from identity.verifier.profile import Confirmation

DAY = 86_400
KID = "K" * 43


def some_family(expires_in: int = 30 * DAY, **changes: object) -> Family:
    values: dict[str, object] = {
        "family": "Ab3_" + secrets.token_urlsafe(16),
        "subject": secrets.token_hex(13),
        "client_id": "web-shop",
        "scopes": ("orders:read", "orders:write", "roles"),
        "audience": "https://orders.example.com",
        "auth_time": int(time.time()),
        "authentication_methods": ("pwd",),
        "revision": 123_456,
        "expires_at": int(time.time()) + expires_in,
    }
    return Family(**{**values, **changes})  # type: ignore[arg-type]


def families(redis: RedisConnection, window: float = 10, idle: float = 14 * DAY) -> RedisFamilies:
    return RedisFamilies(redis, idle, window)


async def begun(store: RedisFamilies, **changes: object) -> str:
    family = some_family(**changes)  # type: ignore[arg-type]
    await store.begin(family, KID)
    return family.family


async def steps(store: RedisFamilies, family: str, *generations: int) -> list[Step]:
    return [await store.step(Generation(family, number), rotates=True, kid=KID) for number in generations]


async def redis_ms(redis: RedisConnection) -> float:
    seconds, microseconds = (await everywhere(redis, "TIME"))[0]
    return int(seconds) * 1000 + int(microseconds) / 1000


async def until_redis_time(redis: RedisConnection, moment_ms: float) -> None:
    """Waits by the clock that decides, which is Redis's."""
    deadline = time.monotonic() + 10
    while await redis_ms(redis) <= moment_ms:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_each_current_generation_advances_the_family_by_one(redis: RedisConnection) -> None:
    """A45"""
    store = families(redis)
    family = await begun(store)
    assert await steps(store, family, 0, 1, 2, 3) == [Step.ADVANCED] * 4


async def test_a_family_reads_back_as_it_was_begun(redis: RedisConnection) -> None:
    """A44: what was granted never changes, whatever characters it holds."""
    family = some_family(subject='o\'brien "ü€😀"', scopes=("a:b", "c/d"), authentication_methods=("pwd", "otp"))
    await families(redis).begin(family, KID)
    assert await families(redis).read(family.family) == family


@pytest.mark.parametrize("session_id", ["", "sid"])
@pytest.mark.parametrize("confirmation", [Confirmation(jkt="j" * 43), Confirmation(x5t="x" * 43)])
async def test_a53_a_family_stays_bound_to_its_key(
    redis: RedisConnection, session_id: str, confirmation: Confirmation
) -> None:
    """After any number of refreshes, at a server that reads it for the first time."""
    store, family = families(redis), some_family(session_id=session_id, confirmation=confirmation)
    await store.begin(family, KID)
    assert await steps(store, family.family, 0, 1) == [Step.ADVANCED] * 2
    assert await families(redis).read(family.family) == family


async def test_a53_what_a_later_version_bound_a_family_to_is_never_passed_over(redis: RedisConnection) -> None:
    """F24: nobody can show it, so nobody refreshes."""
    store, family = families(redis), some_family(session_id="sid", confirmation=Confirmation(jkt="j" * 43))
    await store.begin(family, KID)
    key = family_key(family.family)
    await redis.execute("SET", key, str(await redis.execute("GET", key)).replace('"jkt"', '"something"'))
    read = await families(redis).read(family.family)
    assert read is not None
    assert read.confirmation == Confirmation()


async def test_a_family_that_was_never_begun_is_unknown(redis: RedisConnection) -> None:
    """A45"""
    store = families(redis)
    assert await store.read("never") is None
    assert await store.step(Generation("never", 0), rotates=True, kid=KID) is Step.UNKNOWN
    assert await store.step(Generation("never", 0), rotates=False, kid=KID) is Step.UNKNOWN
    assert await store.fast_forward(Generation("never", 3), KID) is Step.UNKNOWN
    await store.end("never")


async def test_a_repetition_inside_the_retry_window_is_the_same_successor(redis: RedisConnection) -> None:
    """A46: any number of times, without moving on or branching."""
    store = families(redis)
    family = await begun(store)
    assert await steps(store, family, 0, 0, 0, 0) == [Step.ADVANCED, Step.REPEATED, Step.REPEATED, Step.REPEATED]
    assert await steps(store, family, 1) == [Step.ADVANCED]


@pytest.mark.parametrize("rotates", [True, False])
async def test_a_step_is_taken_only_under_the_head_its_caller_knows(redis: RedisConnection, rotates: bool) -> None:
    """F12, I2: whoever knows less than what is in force, or something else, changes nothing."""
    store, stream = families(redis, window=0), RedisStream(redis)
    family = await begun(store)

    async def step(under: Head) -> Step:
        return await store.step(Generation(family, 0), rotates, KID, under)

    assert await step(Head("one", 0)) is Step.BEHIND, "there is no feed"
    await stream.reset("one")
    rule = NumberedRule(1, "all", bytes(16), ends=True, expires_at=None)
    assert await stream.append(Head("one", 0), [rule], Head("one", 1))
    assert [await step(other) for other in (Head("one", 0), Head("one", 2), Head("two", 1))] == [Step.BEHIND] * 3
    assert await step(Head("one", 1)) is Step.ADVANCED


async def test_without_a_retry_window_every_repetition_is_a_replay(redis: RedisConnection) -> None:
    """A45"""
    store = families(redis, window=0)
    family = await begun(store)
    assert await steps(store, family, 0, 0) == [Step.ADVANCED, Step.REPLAYED]


async def test_a_replayed_family_gives_no_more_successors(redis: RedisConnection) -> None:
    """A45: neither to the thief nor to the owner, and not after a lost write either."""
    store = families(redis, window=0)
    family = await begun(store)
    await steps(store, family, 0, 1, 0)
    assert await steps(store, family, 2, 1, 0, 7) == [Step.REPLAYED] * 4
    assert await store.fast_forward(Generation(family, 9), KID) is Step.REPLAYED
    assert await store.step(Generation(family, 2), rotates=False, kid=KID) is Step.REPLAYED


async def test_the_retry_window_closes_on_the_clock_of_redis(redis: RedisConnection) -> None:
    """A46: bounded in time."""
    store = families(redis, window=0.3)
    family = await begun(store)
    assert await steps(store, family, 0, 0) == [Step.ADVANCED, Step.REPEATED]
    advanced_by = await redis_ms(redis)
    await until_redis_time(redis, advanced_by + 301)
    assert await steps(store, family, 0, 1) == [Step.REPLAYED, Step.REPLAYED]


async def test_repetitions_do_not_lengthen_the_retry_window(redis: RedisConnection) -> None:
    """A46: a client that keeps repeating reaches the end of the window all the same."""
    store = families(redis, window=0.3)
    family = await begun(store)
    await steps(store, family, 0)
    advanced_by = await redis_ms(redis)
    outcomes = set()
    while await redis_ms(redis) < advanced_by + 320:
        outcomes.add((await steps(store, family, 0))[0])
    outcomes.add((await steps(store, family, 0))[0])
    assert Step.REPLAYED in outcomes


async def test_a_duplicate_two_behind_inside_its_own_window_is_late_and_harmless(redis: RedisConnection) -> None:
    """A46: a packet that lost its way is no theft."""
    store = families(redis)
    family = await begun(store)
    assert await steps(store, family, 0, 1, 0, 2) == [Step.ADVANCED, Step.ADVANCED, Step.LATE, Step.ADVANCED]


async def test_a_duplicate_two_behind_outside_its_window_is_a_replay(redis: RedisConnection) -> None:
    """A45"""
    store = families(redis, window=0.2)
    family = await begun(store)
    await steps(store, family, 0)
    await until_redis_time(redis, await redis_ms(redis) + 201)
    assert await steps(store, family, 1, 0) == [Step.ADVANCED, Step.REPLAYED]


async def test_three_behind_is_a_replay_even_inside_the_window(redis: RedisConnection) -> None:
    """A45, A46: bounded in count."""
    store = families(redis)
    family = await begun(store)
    assert (await steps(store, family, 0, 1, 2, 0))[-1] is Step.REPLAYED


@pytest.mark.parametrize("old", [0, 1, 17, 38, 39])
async def test_reuse_of_any_old_generation_is_seen(redis: RedisConnection, old: int) -> None:
    """A45: a record of constant size still knows every token that was ever used."""
    store = families(redis, window=0)
    family = await begun(store)
    assert set(await steps(store, family, *range(40))) == {Step.ADVANCED}
    assert await steps(store, family, old, 40) == [Step.REPLAYED, Step.REPLAYED]


async def test_a_generation_ahead_of_redis_is_reported_and_changes_nothing(redis: RedisConnection) -> None:
    """A45: an authentic later generation means that Redis lost a write; who decides is the caller."""
    store = families(redis)
    family = await begun(store)
    assert await steps(store, family, 5, 0) == [Step.AHEAD, Step.ADVANCED]


async def test_fast_forward_goes_on_where_the_client_stands(redis: RedisConnection) -> None:
    """A45: losing Redis's last second logs nobody out; what came before stays used."""
    store = families(redis, window=0)
    family = await begun(store)
    assert await store.fast_forward(Generation(family, 5), KID) is Step.ADVANCED
    assert await steps(store, family, 6, 7) == [Step.ADVANCED, Step.ADVANCED]
    assert await steps(store, family, 4) == [Step.REPLAYED]


async def test_fast_forward_of_a_generation_that_is_not_ahead_gives_no_second_branch(redis: RedisConnection) -> None:
    """A46: two replicas that both saw `ahead` agree on one successor."""
    store = families(redis)
    family = await begun(store)
    outcomes = await asyncio.gather(*(store.fast_forward(Generation(family, 5), KID) for _ in range(20)))
    assert Counter(outcomes) == {Step.ADVANCED: 1, Step.REPEATED: 19}
    assert await steps(store, family, 6) == [Step.ADVANCED]


async def test_a_family_that_does_not_rotate_keeps_its_generation(redis: RedisConnection) -> None:
    """A45: a confidential client may keep its token; an older one is still a replay."""
    store = families(redis, window=0)
    family = await begun(store)
    assert [await store.step(Generation(family, 0), rotates=False, kid=KID) for _ in range(5)] == [Step.ADVANCED] * 5
    await steps(store, family, 0)
    assert await store.step(Generation(family, 1), rotates=False, kid=KID) is Step.ADVANCED
    assert await store.step(Generation(family, 0), rotates=False, kid=KID) is Step.REPLAYED


async def test_an_ended_family_is_unknown_to_everyone_who_remembers_it(redis: RedisConnection) -> None:
    """A48: remembering what was granted never revives what was ended."""
    here, there = families(redis), families(redis)
    family = await begun(here)
    assert await there.read(family) is not None
    await here.end(family)
    assert await steps(there, family, 0) == [Step.UNKNOWN]
    assert await there.fast_forward(Generation(family, 3), KID) is Step.UNKNOWN
    assert await here.read(family) is None


@pytest.mark.parametrize(("idle", "absolute", "expected"), [(100, 1000, 100), (1000, 100, 100)])
async def test_a_family_lives_for_the_shorter_of_its_two_lifetimes(
    redis: RedisConnection, idle: int, absolute: int, expected: int
) -> None:
    """A47"""
    store = families(redis, idle=idle)
    family = await begun(store, expires_in=absolute)
    (key,) = await keys(redis)
    for remaining in (await redis.execute("PTTL", key), await ttl_after_step(store, redis, family, key)):
        assert (expected - 3) * 1000 < remaining <= expected * 1000


async def ttl_after_step(store: RedisFamilies, redis: RedisConnection, family: str, key: str) -> int:
    await steps(store, family, 0)
    return int(await redis.execute("PTTL", key))


@pytest.mark.parametrize("rotates", [True, False])
async def test_each_refresh_starts_the_idle_lifetime_anew(redis: RedisConnection, rotates: bool) -> None:
    """A47"""
    store = families(redis, idle=100)
    family = await begun(store)
    (key,) = await keys(redis)
    await redis.execute("PEXPIRE", key, 5000)
    assert await store.step(Generation(family, 0), rotates, KID) is Step.ADVANCED
    assert await redis.execute("PTTL", key) > 90_000


async def test_a_replay_does_not_lengthen_a_familys_life(redis: RedisConnection) -> None:
    """A47"""
    store = families(redis, window=0, idle=100)
    family = await begun(store)
    (key,) = await keys(redis)
    await steps(store, family, 0)
    await redis.execute("PEXPIRE", key, 5000)
    assert await steps(store, family, 0) == [Step.REPLAYED]
    assert 0 < await redis.execute("PTTL", key) <= 5000


async def test_a_family_is_over_at_its_absolute_end_whatever_was_refreshed(redis: RedisConnection) -> None:
    """A47"""
    store = families(redis)
    ends = int(await redis_ms(redis)) // 1000 + 1
    family = await begun(store, expires_at=ends)
    number = 0
    while await redis_ms(redis) < ends * 1000 - 100:
        assert await steps(store, family, number) == [Step.ADVANCED]
        number += 1
        await asyncio.sleep(0.05)
    await until_redis_time(redis, ends * 1000)
    assert await steps(store, family, number) == [Step.UNKNOWN]
    assert sum(await everywhere(redis, "DBSIZE")) == 0


async def test_of_fifty_steps_at_once_exactly_one_advances(redis: RedisConnection) -> None:
    """A45, CVE-2026-1035: with the window off the rest are replays; with it on, the same successor."""
    for window, rest in ((0, Step.REPLAYED), (10, Step.REPEATED)):
        stores = [families(redis, window=window) for _ in range(5)]
        family = await begun(stores[0])
        await steps(stores[0], family, 0)
        presented = (stores[index % 5].step(Generation(family, 1), rotates=True, kid=KID) for index in range(50))
        assert Counter(await asyncio.gather(*presented)) == {Step.ADVANCED: 1, rest: 49}


async def test_a_record_does_not_grow_with_the_age_of_its_family(redis: RedisConnection) -> None:
    """A45: no tombstone for each used token; only the number of digits of the generation grows."""
    store = families(redis)
    family = await begun(store)
    (key,) = await keys(redis)
    young = await redis.execute("STRLEN", key)
    for number in range(1000):
        await store.step(Generation(family, number), rotates=True, kid=KID)
    assert await redis.execute("STRLEN", key) - young == len("1000") - len("0")
    assert sum(await everywhere(redis, "DBSIZE")) == 1


async def test_a_family_takes_at_most_450_bytes_of_a_real_valkey(valkey: RedisConnection) -> None:
    """A million sessions fit in half a gigabyte."""
    store = families(valkey)
    family = await begun(store)
    await steps(store, family, 0, 1, 2)
    (key,) = await keys(valkey)
    assert await valkey.execute("MEMORY", "USAGE", key) <= 450


async def test_keys_of_a_family_carry_its_hash_tag(redis: RedisConnection) -> None:
    """Redis Cluster places everything one script touches in one slot."""
    family = await begun(families(redis))
    assert await keys(redis) == [f"f:{{{family}}}"]


async def test_a_store_that_is_away_is_an_error_and_never_an_answer(own_valkey: EmbeddedValkey) -> None:
    """A45: nothing is known of the outcome, so nothing is claimed."""
    connection = connect(own_valkey.url)
    store = families(connection)
    family = await begun(store)
    own_valkey.stop()
    for attempt in (store.step(Generation(family, 0), True, KID), store.end(family), families(connection).read(family)):
        with pytest.raises(StoreUnavailableError):
            await attempt
    await connection.close()


async def test_a_family_remembers_which_key_signed_its_last_access_token(redis: RedisConnection) -> None:
    """DESIGN 6, the drill report: whoever refreshes, retries or goes on after a lost write holds a token of today's key."""
    store, holder = families(redis), Holder("web-shop", "https://orders.example.com")
    moved, retried, ahead, kept = [await begun(store) for _ in range(4)]
    assert await store.holders({KID}) == {holder: 4}
    for family in (moved, retried):
        await store.step(Generation(family, 0), rotates=True, kid="k2")
    assert await store.step(Generation(retried, 0), rotates=True, kid="k3") is Step.REPEATED
    assert await store.fast_forward(Generation(ahead, 5), "k4") is Step.ADVANCED
    assert await store.step(Generation(kept, 0), rotates=False, kid="k5") is Step.ADVANCED
    for kid in ("k2", "k3", "k4", "k5"):
        assert await store.holders({kid}) == {holder: 1}
    assert await store.holders({KID}) == {}
    assert await store.holders({"k2", "k3", "k4"}) == {holder: 3}


async def test_a_refused_refresh_leaves_the_key_as_it_was(redis: RedisConnection) -> None:
    """No token went with it."""
    store = families(redis, window=0)
    family = await begun(store)
    await steps(store, family, 0)
    assert await store.step(Generation(family, 0), rotates=True, kid="k2") is Step.REPLAYED
    assert await store.step(Generation(family, 9), rotates=True, kid="k2") is Step.REPLAYED
    assert sum((await store.holders({KID})).values()) == 1


async def test_every_holder_is_counted_apart_and_among_many(redis: RedisConnection) -> None:
    """More families than one look takes, and other keys beside them."""
    store = families(redis)
    for number in range(1300):
        await store.begin(some_family(client_id=f"c{number % 2}", audience="https://a"), KID if number < 1200 else "k2")
    await redis.execute("SET", "other", "thing")
    assert await store.holders({KID}) == {Holder("c0", "https://a"): 600, Holder("c1", "https://a"): 600}


async def test_a_family_of_a_version_that_noted_no_key_goes_on(redis: RedisConnection) -> None:
    """F24: records written before an upgrade."""
    store, other = families(redis), families(redis)
    family = some_family()
    await store.begin(family, KID)
    record = await redis.execute("GET", f"f:{{{family.family}}}")
    await redis.execute("SET", f"f:{{{family.family}}}", record.replace(f"{KID[:12]} ", ""))
    assert await other.read(family.family) == family
    assert await other.holders({KID, ""}) == {Holder("web-shop", "https://orders.example.com"): 1}
    assert await steps(other, family.family, 0, 1) == [Step.ADVANCED] * 2
    assert sum((await other.holders({KID})).values()) == 1
