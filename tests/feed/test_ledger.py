"""Writing rules: SQL decides, Redis follows, and whoever dies in between loses nothing (I2, A55)."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Sequence

import pytest
from engines import SqlServer
from installation import HORIZON, KEPT, Installation, Replica
from sqlalchemy import delete, update

from identity.feed.ledger import Ledger
from identity.feed.rules import EndedGrant, Head, NumberedRule, Rule
from identity.feed.stores import StoreUnavailableError
from identity.models import FeedHead, RevocationRule
from identity.store.embedded import EmbeddedValkey
from identity.store.redis.connection import connect
from identity.store.redis.feed import RedisStream
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.tokens.refresh_token import Family, Generation, Step
from identity.verifier.profile import RuleKind


class UnreliableStream(RedisStream):
    """A stream whose appends a test may fail, before or after Redis has done them, or hold back."""

    before: Callable[[], object] = staticmethod(lambda: None)
    after: Callable[[], object] = staticmethod(lambda: None)
    gate: asyncio.Event | None = None

    async def append(
        self, expected: Head, rules: Sequence[NumberedRule], head: Head, ended: Sequence[str] = ()
    ) -> bool:
        if self.gate is not None:
            await self.gate.wait()
        self.before()
        done = await super().append(expected, rules, head, ended)
        self.after()
        return done


def refuse() -> None:
    raise StoreUnavailableError("Redis", "as the test wants it")


def unreliable(replica: Replica) -> tuple[Ledger[SqlChange], UnreliableStream]:
    stream = UnreliableStream(replica.redis)
    begin = changes(replica.database, HORIZON, KEPT)
    return Ledger(begin, replica.journal, stream), stream


async def end(ledger: Ledger[SqlChange], grant: str) -> None:
    async with ledger.change() as change:
        change.revoke(Rule.ending(RuleKind.GRANT, grant))


async def begin_family(replica: Replica) -> str:
    now = int(time.time())
    family = Family("Ab3_" + secrets.token_urlsafe(16), "s", "c", ("a",), "https://r", now, ("pwd",), 0, now + 86_400)
    await replica.families.begin(family, "k1")
    return family.family


async def is_alive(replica: Replica, family: str) -> bool:
    return await replica.families.step(Generation(family, 0), rotates=False, kid="k1") is Step.ADVANCED


async def set_sql_back(database: Database, seq: int) -> None:
    """What restoring a backup does."""
    async with database.transaction() as session:
        await session.execute(delete(RevocationRule).where(RevocationRule.seq > seq))  # type: ignore[arg-type]
        await session.execute(update(FeedHead).values(seq=seq))


async def test_when_a_change_has_ended_well_both_stores_hold_it(replica: Replica) -> None:
    """A55: the caller's success comes after both."""
    await replica.ledger.catch_up()
    family = await begin_family(replica)
    await replica.end(family)
    assert await replica.agrees()
    assert (await replica.stream.head() or Head("", 0)).seq == 1
    assert not await is_alive(replica, family)


async def test_redis_hears_of_a_rule_after_sql_has_committed_it(replica: Replica) -> None:
    """I2: a crash between the two can be finished from SQL."""
    await replica.ledger.catch_up()
    ledger, stream = unreliable(replica)
    family = await begin_family(replica)
    stream.gate = asyncio.Event()
    ending = asyncio.create_task(end(ledger, family))
    deadline = time.monotonic() + 5
    while (await replica.journal.head()).seq == 0:
        assert time.monotonic() < deadline
    assert (await replica.stream.head() or Head("", -1)).seq == 0
    assert not ending.done()
    stream.gate.set()
    await ending
    assert not await is_alive(replica, family)
    assert await replica.agrees()


async def test_no_history_of_redis_has_a_rule_and_not_the_end_of_its_sessions(
    own_valkey: EmbeddedValkey, tmp_path
) -> None:
    """I2, F02: a replica that takes the primary's place, or a file that was cut off, has the beginning of what was done. Had
    sessions ended in a command of their own, the rule could reach a server that knows nothing of that one."""
    sql = SqlServer("sqlite", tmp_path)
    replica = Replica(Database(await sql.migrated_url()), connect(own_valkey.url))
    await replica.ledger.catch_up()
    published, caught_up = await begin_family(replica), await begin_family(replica)
    await replica.end(published)
    await replica.revoke_unpublished(Rule.ending(RuleKind.GRANT, caught_up))
    await replica.ledger.catch_up()
    await replica.redis.close()
    await replica.database.close()
    (history,) = (own_valkey.folder / "appendonlydir").glob("*.incr.aof")
    transactions = [each.partition("EXEC")[0] for each in history.read_text().split("MULTI")]
    for family in (published, caught_up):
        (ending,) = [each for each in transactions if "DEL" in each and family in each]
        assert "XADD" in ending


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_redis_that_fails_at_the_append_is_an_error_and_somebody_else_finishes(
    installation: Installation, replica: Replica, moment: str
) -> None:
    """A55, I2, I4: never a false success; and the rule is in force although its writer gave up."""
    await replica.ledger.catch_up()
    ledger, stream = unreliable(replica)
    setattr(stream, moment, refuse)
    with pytest.raises(StoreUnavailableError):
        await end(ledger, "grant")
    assert (await replica.journal.head()).seq == 1
    assert await installation.replica().ledger.catch_up() == await replica.journal.head()
    assert await replica.agrees()


async def test_what_a_dead_process_committed_is_finished_by_any_other(
    installation: Installation, replica: Replica
) -> None:
    """I2: there is no leader; its families are ended too."""
    await replica.ledger.catch_up()
    family, other = await begin_family(replica), await begin_family(replica)
    await replica.revoke_unpublished(Rule.ending(RuleKind.GRANT, family))
    assert await is_alive(replica, family)
    await installation.replica().ledger.catch_up()
    assert not await is_alive(replica, family)
    assert await is_alive(replica, other)
    assert await replica.agrees()


async def test_a_change_finishes_what_others_left_unfinished_before_it(
    installation: Installation, replica: Replica
) -> None:
    """I2: no rule overtakes another."""
    await replica.ledger.catch_up()
    await replica.revoke_unpublished(Rule.ending(RuleKind.GRANT, "left"))
    await installation.replica().end("next")
    assert await replica.agrees()
    assert (await replica.journal.head()).seq == 2


async def test_publishers_that_overtake_each_other_leave_no_gap(installation: Installation, replica: Replica) -> None:
    """I2: the first is held back until the second has published."""
    await replica.ledger.catch_up()
    ledger, stream = unreliable(replica)
    stream.gate = asyncio.Event()
    first = asyncio.create_task(end(ledger, "first"))
    deadline = time.monotonic() + 5
    while (await replica.journal.head()).seq < 1:
        assert time.monotonic() < deadline
    await installation.replica().end("second")
    assert await replica.agrees()
    stream.gate.set()
    await first
    assert await replica.agrees()
    assert (await replica.journal.head()).seq == 2


async def test_a_thousand_changes_over_two_ledgers_agree_in_sql_and_stream(installation: Installation) -> None:
    """I2: no gap, nothing twice, the same order."""
    replicas = [installation.replica(), installation.replica()]
    await replicas[0].ledger.catch_up()
    limit = asyncio.Semaphore(6)

    async def one(number: int) -> None:
        async with limit:
            await replicas[number % 2].end(f"grant-{number}")

    await asyncio.gather(*(one(number) for number in range(1000)))
    assert (await replicas[0].journal.head()).seq == 1000
    assert await replicas[1].agrees()


async def test_a_change_that_revokes_nothing_needs_no_redis(replica: Replica) -> None:
    ledger, stream = unreliable(replica)
    stream.before = refuse
    async with ledger.change() as change:
        await change.registrations.users()
    assert change.numbered == []


async def test_a_change_that_fails_reaches_neither_store(replica: Replica) -> None:
    await replica.ledger.catch_up()
    with pytest.raises(RuntimeError):
        async with replica.ledger.change() as change:
            change.revoke(Rule.ending(RuleKind.GRANT, "never"))
            raise RuntimeError
    assert (await replica.journal.head()).seq == 0
    assert await replica.agrees()


async def test_a_redis_that_lost_everything_is_rebuilt_from_sql(installation: Installation, replica: Replica) -> None:
    """I2, I7: more rules than one script call takes, and every replica at it at once."""
    await replica.ledger.catch_up()
    await replica.revoke_unpublished(*(Rule.ending(RuleKind.GRANT, f"grant-{number}") for number in range(2300)))
    await replica.ledger.catch_up()
    await replica.redis.execute("FLUSHALL")
    started = time.monotonic()
    heads = await asyncio.gather(*(installation.replica().ledger.catch_up() for _ in range(3)))
    assert time.monotonic() - started < 10
    assert set(heads) == {await replica.journal.head()}
    assert await replica.agrees()


class MeasuredJournal(SqlJournal):
    """Notes how many rows were read at once."""

    most = 0

    async def after(self, seq: int, limit: int | None = None) -> tuple[Head, list[NumberedRule]]:
        head, rules = await super().after(seq, limit)
        self.most = max(self.most, len(rules))
        return head, rules

    async def ended_grants_after(
        self, seq: int, *, up_to: int | None = None, limit: int | None = None
    ) -> list[EndedGrant]:
        ended = await super().ended_grants_after(seq, up_to=up_to, limit=limit)
        self.most = max(self.most, len(ended))
        return ended


async def test_a_rebuild_takes_no_more_memory_where_more_is_kept(installation: Installation, replica: Replica) -> None:
    """I6: a month's rules are a million; also when their number is just that of whole chunks."""
    await replica.revoke_unpublished(*(Rule.ending(RuleKind.GRANT, f"grant-{number}") for number in range(3000)))
    journal = MeasuredJournal(installation.replica().database)
    await Ledger(changes(replica.database, HORIZON, KEPT), journal, replica.stream).catch_up()
    assert journal.most == 1000
    assert await replica.agrees()


async def test_a_rebuild_that_is_cut_off_is_finished_by_the_next(installation: Installation, replica: Replica) -> None:
    """I2, I7"""
    await replica.revoke_unpublished(*(Rule.revoking(RuleKind.TOKEN, f"jti-{number}") for number in range(2300)))
    ledger, stream = unreliable(replica)
    appended: list[int] = []

    def fail_at_the_second() -> None:
        appended.append(1)
        if len(appended) == 2:
            refuse()

    stream.before = fail_at_the_second
    with pytest.raises(StoreUnavailableError):
        await ledger.catch_up()
    assert (await replica.stream.head() or Head("", 0)).seq == 1000
    await installation.replica().ledger.catch_up()
    assert await replica.agrees()


async def test_families_that_a_backup_of_redis_revives_are_ended_again(replica: Replica) -> None:
    """I2: what was ended since the backup stays ended; nobody else is logged out."""
    await replica.ledger.catch_up()
    early, late, living = [await begin_family(replica) for _ in range(3)]
    await replica.end(early)
    keys = await replica.redis.execute("KEYS", "*")
    backup = {key: (await raw(replica, "DUMP", key), await replica.redis.execute("PTTL", key)) for key in keys}
    await replica.end(late)
    await replica.redis.execute("FLUSHALL")
    for key, (value, ttl) in backup.items():
        await raw(replica, "RESTORE", key, max(ttl, 0), value)
    assert await is_alive(replica, late)
    await replica.ledger.catch_up()
    assert [await is_alive(replica, family) for family in (early, late, living)] == [False, False, True]
    assert await replica.agrees()


async def raw(replica: Replica, *command: object) -> object:
    """A command whose arguments or answer are not text."""
    connection = await replica.redis._dial()
    try:
        await connection.send_command(*command)
        return await connection.read_response(disable_decoding=True)
    finally:
        await connection.disconnect()


async def test_families_in_a_redis_without_a_feed_are_ended_if_sql_ended_them(replica: Replica) -> None:
    """I2: a Redis that came back with sessions but without the head is trusted with nothing."""
    await replica.ledger.catch_up()
    ended, living = await begin_family(replica), await begin_family(replica)
    await replica.revoke_unpublished(Rule.ending(RuleKind.GRANT, ended))
    await replica.redis.execute("DEL", *await replica.redis.execute("KEYS", "{feed}*"))
    await replica.ledger.catch_up()
    assert [await is_alive(replica, family) for family in (ended, living)] == [False, True]


async def test_an_sql_set_back_behind_redis_begins_a_new_epoch_whose_numbers_never_repeat(
    installation: Installation, replica: Replica
) -> None:
    """I2: tokens carry numbers; a rule numbered below one would not revoke it."""
    await replica.ledger.catch_up()
    await replica.end(*(f"grant-{number}" for number in range(10)))
    before = await replica.journal.head()
    await set_sql_back(replica.database, 4)
    heads = await asyncio.gather(*(installation.replica().ledger.catch_up() for _ in range(5)))
    assert len(set(heads)) == 1
    assert heads[0].epoch != before.epoch
    assert heads[0].seq > before.seq
    await replica.end("after")
    assert (await replica.journal.head()).seq == heads[0].seq + 1
    assert await replica.agrees()


async def test_a_feed_with_purged_numbers_is_rebuilt_to_the_same_head(replica: Replica) -> None:
    await replica.ledger.catch_up()
    await replica.revoke(*(Rule.revoking(RuleKind.TOKEN, f"jti-{number}") for number in range(5)))
    await replica.end("kept")
    await replica.journal.purge(int(time.time()) + HORIZON + 5)
    await replica.redis.execute("FLUSHALL")
    assert (await replica.ledger.catch_up()).seq == 6
    assert await replica.agrees()
    await replica.end("more")
    assert await replica.agrees()


async def test_a_valkey_killed_before_the_append_makes_an_error_and_is_brought_up_when_it_returns(
    own_valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A55, I5, I7: with a real kill."""
    database = Database(await SqlServer("sqlite", tmp_path_factory.mktemp("sql")).migrated_url())
    replica = Replica(database, connect(own_valkey.url))
    await replica.ledger.catch_up()
    family = await begin_family(replica)
    assert own_valkey.process_id is not None
    os.kill(own_valkey.process_id, signal.SIGKILL)
    with pytest.raises(StoreUnavailableError):
        await replica.end(family)
    own_valkey.start()
    await replica.ledger.catch_up()
    assert await replica.agrees()
    assert not await is_alive(replica, family)
    await replica.redis.close()
    await database.close()
