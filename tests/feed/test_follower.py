"""Reading rules: every process follows the stream, repairs it, and says how sure it is (I2, I5, I7, A48)."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from engines import SqlServer
from installation import Installation, Replica
from sqlalchemy import delete, update

from identity.feed.follower import Follower
from identity.feed.rules import Head, NumberedRule, Rule, known_digest
from identity.feed.stores import StoreUnavailableError
from identity.models import FeedHead, RevocationRule
from identity.store.embedded import EmbeddedValkey
from identity.store.redis.connection import connect
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.verifier.profile import FEED_MAX_AGE, RuleKind, rule_digest


class RecordingMemory:
    """Remembers what it was told to forget, and where the picture stood then."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[bytes, int]] = []
        self.rebuilt = 0
        self.head: Callable[[], Head] = lambda: Head("", 0)

    def forget(self, digest: bytes) -> None:
        self.forgotten.append((digest, self.head().seq))

    def forget_everything(self) -> None:
        self.rebuilt += 1


def follower_of(replica: Replica) -> tuple[Follower, RecordingMemory]:
    memory = RecordingMemory()
    follower = Follower(replica.journal, replica.stream, replica.ledger, memory, replica.high_water)
    memory.head = lambda: follower.picture.head
    return follower, memory


@asynccontextmanager
async def following(replica: Replica) -> AsyncIterator[tuple[Follower, RecordingMemory]]:
    follower, memory = follower_of(replica)
    await follower.start()
    running = asyncio.create_task(follower.run())
    try:
        yield follower, memory
    finally:
        follower.close()
        await asyncio.wait_for(running, 5)


async def until(condition: Callable[[], bool], within: float = 8) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within
        await asyncio.sleep(0.005)
    return time.monotonic() - started


def subject(number: int) -> Rule:
    return Rule.revoking(RuleKind.SUBJECT, f"subject-{number}")


async def test_a_rule_reaches_every_replica_in_a_fraction_of_a_second(installation: Installation) -> None:
    """I2: the picture of each is the journal."""
    writer, reader = installation.replica(), installation.replica()
    async with following(reader) as (follower, _):
        for number in range(1, 21):
            await writer.revoke(subject(number))
            await until(lambda: follower.picture.head.seq == number, within=2)  # noqa: B023
        rules = [rule async for _, some in writer.journal.live() for rule in some]
        assert follower.picture.head == await writer.journal.head()
        assert list(follower.picture.since(0, time.time())) == rules


async def test_what_a_rule_names_is_forgotten_before_the_head_moves_onto_it(replica: Replica) -> None:
    """A48: nothing that was read under a head is older than that head."""
    async with following(replica) as (follower, memory):
        await replica.revoke(subject(1), Rule.changed(RuleKind.CLIENT, "shop"))
        await until(lambda: follower.picture.head.seq == 2)
    assert memory.forgotten == [
        (rule_digest(RuleKind.SUBJECT, "subject-1"), 0),
        (rule_digest(RuleKind.CLIENT, "shop"), 1),
    ]


async def test_a_follower_starts_with_all_that_was_decided_before(installation: Installation, replica: Replica) -> None:
    """I2: what a dead process left unfinished included."""
    await replica.revoke_unpublished(subject(1), Rule.ending(RuleKind.SUBJECT, "alice"))
    follower, memory = follower_of(installation.replica())
    await follower.start()
    assert follower.picture.head.seq == 2
    assert follower.picture.has_ended("g", "alice", "c", 0)
    assert follower.require_fresh() is follower.picture
    assert memory.rebuilt == 1
    assert await replica.agrees()


class SetBackMeanwhile(SqlJournal):
    """While it is read, another server finds that the database is a copy from before; so many times."""

    def __init__(self, replica: Replica, times: int) -> None:
        super().__init__(replica.database)
        self._replica, self.times = replica, times

    async def live(self) -> AsyncIterator[tuple[Head, list[NumberedRule]]]:
        async for head, rules in super().live():
            yield head, rules
            if self.times:
                self.times -= 1
                await self._replica.ledger.begin_epoch(head, head.seq + 1)


@pytest.mark.parametrize(("times", "starts"), [(1, True), (2, True), (9, False)])
async def test_a_follower_that_starts_while_another_begins_an_epoch_reads_again(
    installation: Installation, replica: Replica, times: int, starts: bool
) -> None:
    """F25, I7: of servers that start together on a restored database one notices first. A few times, not for ever."""
    await replica.revoke(subject(1))
    other, journal = installation.replica(), SetBackMeanwhile(replica, times)
    follower = Follower(journal, other.stream, other.ledger, RecordingMemory(), other.high_water)
    if not starts:
        with pytest.raises(StoreUnavailableError, match="set back"):
            await follower.start()
        return
    await follower.start()
    assert follower.require_fresh().head == await replica.journal.head()
    assert follower.picture.revokes(1, (known_digest(RuleKind.EVERYTHING),))


async def test_a_rule_left_unpublished_by_a_dead_process_is_in_force_within_a_second_or_two(
    installation: Installation, replica: Replica
) -> None:
    """I2, I7: every process compares the heads at least once a second."""
    async with following(installation.replica()) as (follower, _):
        await replica.revoke_unpublished(subject(1))
        await until(lambda: follower.picture.head.seq == 1, within=3)


async def test_a_flushed_redis_is_rebuilt_within_a_second_or_two(installation: Installation, replica: Replica) -> None:
    """I2, I7: and the follower loses nothing meanwhile."""
    async with following(installation.replica()) as (follower, _):
        await replica.revoke(*(subject(number) for number in range(50)))
        await until(lambda: follower.picture.head.seq == 50)
        await replica.redis.execute("FLUSHALL")
        deadline = time.monotonic() + 3
        while await replica.stream.head() != await replica.journal.head():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert len(list(follower.picture.since(0, time.time()))) == 50
        await replica.revoke(subject(51))
        await until(lambda: follower.picture.head.seq == 51)
        assert follower.age < FEED_MAX_AGE
    assert await replica.agrees()


async def test_a_redis_head_set_back_is_brought_up_again(installation: Installation, replica: Replica) -> None:
    """I2: what a failover to a replica that lagged leaves."""
    async with following(installation.replica()) as (follower, _):
        await replica.revoke(*(subject(number) for number in range(5)))
        await until(lambda: follower.picture.head.seq == 5)
        await replica.redis.execute("HSET", "{feed}:head", "seq", "3")
        await replica.redis.execute("XTRIM", "{feed}:rules", "MAXLEN", "0")
        await replica.redis.execute("DEL", "{feed}:rules")
        await replica.revoke(subject(6))
        await until(lambda: follower.picture.head.seq == 6)
        assert len(list(follower.picture.since(0, time.time()))) == 6


async def set_sql_back(database: Database, seq: int) -> None:
    async with database.transaction() as session:
        await session.execute(delete(RevocationRule).where(RevocationRule.seq > seq))  # type: ignore[arg-type]
        await session.execute(update(FeedHead).values(seq=seq))


@pytest.mark.parametrize("redis_too", [False, True])
async def test_after_sql_was_set_back_numbers_never_repeat(
    installation: Installation, replica: Replica, redis_too: bool
) -> None:
    """I2: even when Redis lost its memory at the same time, a living process remembers the number it had reached."""
    async with following(installation.replica()) as (follower, memory):
        await replica.revoke(*(subject(number) for number in range(10)))
        await until(lambda: follower.picture.head.seq == 10)
        before, rebuilt = follower.picture.head, memory.rebuilt
        await set_sql_back(replica.database, 4)
        if redis_too:
            await replica.redis.execute("FLUSHALL")
        await until(lambda: follower.picture.head.epoch != before.epoch)
        began = follower.picture.head.seq
        assert began > before.seq
        assert memory.rebuilt > rebuilt
        await replica.revoke(subject(99))
        await until(lambda: follower.picture.head.seq == began + 1)
        assert len(list(follower.picture.since(0, time.time()))) == 6  # One of them ends everything.
        assert follower.age < FEED_MAX_AGE


async def test_purged_numbers_are_passed_over(installation: Installation, replica: Replica) -> None:
    """A gap in the stream is read from SQL."""
    await replica.ledger.catch_up()
    await replica.revoke(*(subject(number) for number in range(5)))
    await replica.journal.purge(int(time.time()) + 10_000)
    await replica.redis.execute("FLUSHALL")
    async with following(installation.replica()) as (follower, _):
        assert follower.picture.head.seq == 5
        await replica.revoke(subject(6))
        await until(lambda: follower.picture.head.seq == 6)


async def test_the_age_stays_low_while_both_stores_answer(replica: Replica) -> None:
    """I5"""
    async with following(replica) as (follower, _):
        for _ in range(15):
            await asyncio.sleep(0.1)
            follower.require_fresh()
        assert follower.problem == ""


async def test_without_redis_nothing_is_issued_after_two_seconds_and_everything_again_when_it_returns(
    own_valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """I5, I7: fail closed, recover without anybody's help."""
    database = Database(await SqlServer("sqlite", tmp_path_factory.mktemp("sql")).migrated_url())
    replica = Replica(database, connect(own_valkey.url))
    async with following(replica) as (follower, _):
        assert own_valkey.process_id is not None
        os.kill(own_valkey.process_id, signal.SIGKILL)
        await until(lambda: follower.age > FEED_MAX_AGE)
        with pytest.raises(StoreUnavailableError):
            follower.require_fresh()
        assert "Redis" in follower.problem
        own_valkey.start()
        await until(lambda: follower.age < 1)
        assert follower.problem == ""
        await replica.revoke(subject(1))
        await until(lambda: follower.picture.head.seq == 1)
    await replica.redis.close()
    await database.close()


async def test_a_store_that_is_away_is_asked_as_often_as_ever(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2: what a Redis that comes back has forgotten is known within a second, and not when somebody gets round to asking."""
    asked: list[float] = []

    async def away() -> Head:
        asked.append(time.monotonic())
        raise StoreUnavailableError("Redis")

    async with following(replica):
        monkeypatch.setattr(replica.stream, "head", away)
        await until(lambda: len(asked) >= 7)
    # The shortest of the last ones: a busy machine makes each longer, and none shorter.
    assert min(later - earlier for earlier, later in pairwise(asked[3:])) < 0.9


async def test_without_sql_nothing_is_issued_after_two_seconds_and_everything_again_when_it_returns(
    tmp_path_factory: pytest.TempPathFactory, valkey_address: str
) -> None:
    """I5, I7: SQL decides; without it nobody knows whether the picture is whole."""
    sql = SqlServer("postgresql", tmp_path_factory.mktemp("sql"))
    url = await sql.migrated_url()
    replica = Replica(Database(url), connect(valkey_address))
    async with following(replica) as (follower, _):
        sql.take_away(url)
        await until(lambda: follower.age > FEED_MAX_AGE)
        with pytest.raises(StoreUnavailableError):
            follower.require_fresh()
        assert "database" in follower.problem
        sql.bring_back(url)
        await until(lambda: follower.age < 1)
    await replica.redis.close()
    await replica.database.close()


async def test_a_follower_whose_stores_are_away_refuses_to_start() -> None:
    """I5"""
    replica = Replica(
        Database("postgresql+psycopg://nobody@127.0.0.1:1/none"), connect("unix:///nonexistent/valkey.sock")
    )
    follower, _ = follower_of(replica)
    with pytest.raises(StoreUnavailableError):
        await follower.start()
    with pytest.raises(StoreUnavailableError):
        follower.require_fresh()
    await replica.database.close()


async def test_a_waiting_verifier_is_woken_by_a_rule(replica: Replica) -> None:
    async with following(replica) as (follower, _):
        waiting = asyncio.create_task(follower.wait_beyond(follower.picture.head, 20))
        await asyncio.sleep(0.05)
        await replica.revoke(subject(1))
        await asyncio.wait_for(waiting, 3)
        assert follower.picture.head.seq == 1


async def test_rules_that_arrive_together_wake_a_verifier_once(replica: Replica) -> None:
    """A mass revocation is one answer for each verifier, not hundreds."""
    async with following(replica) as (follower, _):
        head, woken = follower.picture.head, 0

        async def poll() -> None:
            nonlocal head, woken
            while head.seq < 20:
                await follower.wait_beyond(head, 20)
                head, woken = follower.picture.head, woken + 1

        polling = asyncio.create_task(poll())
        await asyncio.sleep(0.05)
        await replica.revoke_unpublished(*(subject(number) for number in range(20)))
        await replica.ledger.catch_up()
        await asyncio.wait_for(polling, 5)
        assert woken == 1


async def test_a_wait_without_news_ends_when_its_time_is_up(replica: Replica) -> None:
    async with following(replica) as (follower, _):
        started = time.monotonic()
        await follower.wait_beyond(follower.picture.head, 0.3)
        assert 0.29 < time.monotonic() - started < 2


async def test_a_verifier_that_is_behind_does_not_wait(replica: Replica) -> None:
    async with following(replica) as (follower, _):
        await asyncio.wait_for(follower.wait_beyond(Head("another", 3), 20), 1)


async def test_closing_ends_every_wait_at_once(replica: Replica) -> None:
    """A stopping server is not held up by its pollers, nor by one that comes late."""
    async with following(replica) as (follower, _):
        head = follower.picture.head
        waits = [asyncio.create_task(follower.wait_beyond(head, 20)) for _ in range(100)]
        await asyncio.sleep(0.05)
        follower.close()
        await asyncio.wait_for(asyncio.gather(*waits), 2)
        await asyncio.wait_for(follower.wait_beyond(head, 20), 1)


async def test_a_notice_moves_the_head_and_is_sent_to_no_verifier(replica: Replica) -> None:
    """What the servers remember was changed; nobody's token is revoked."""
    async with following(replica) as (follower, memory):
        await replica.revoke(Rule.changed(RuleKind.EVERYTHING))
        await until(lambda: follower.picture.head.seq == 1)
        assert list(follower.picture.since(0, time.time())) == []
        assert memory.forgotten == [(rule_digest(RuleKind.EVERYTHING), 0)]


async def test_who_asks_after_the_200_of_a_revocation_is_told_by_any_server(installation: Installation) -> None:
    """F12, I2: also by one that has not heard of it yet; and nobody is told anything while that cannot be known."""
    one, other = installation.replica(), installation.replica()
    hear = other.stream.read_after

    async def hear_late(seq: int, block_seconds: float) -> list[NumberedRule]:
        heard = await hear(seq, block_seconds)
        await asyncio.sleep(0.2)
        return heard

    other.stream.read_after = hear_late  # type: ignore[method-assign]
    async with following(other) as (follower, _):
        for number in range(3):
            await one.end(f"grant{number}")
            digest = rule_digest(RuleKind.GRANT, f"grant{number}")
            assert not follower.picture.revokes(0, (digest,))
            assert (await follower.up_to_date()).revokes(0, (digest,))
