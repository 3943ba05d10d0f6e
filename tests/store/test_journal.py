"""The revocation journal in SQL: sequence is commit order, without gaps, on SQLite and PostgreSQL (I2)."""

import asyncio
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update

from identity.feed.rules import CHANGED, Head, NumberedRule, Rule
from identity.feed.stores import StoreUnavailableError
from identity.models import AuditEvent, FeedHead, RevocationRule
from identity.store.sql.change import changes
from identity.store.sql.engine import Database
from identity.store.sql.journal import LEAP, SqlJournal, write_rules
from identity.verifier.profile import RuleKind, rule_digest

HORIZON, KEPT = 930, 30 * 86_400


async def write(database: Database, *rules: Rule, horizon: int = HORIZON, kept: int = KEPT) -> list[NumberedRule]:
    async with changes(database, horizon, kept)() as change:
        change.revoke(*rules)
    return change.numbered


def ending(number: int) -> Rule:
    return Rule.ending(RuleKind.GRANT, f"grant-{number}")


async def numbers(database: Database) -> list[int]:
    return [rule.seq for rule in (await SqlJournal(database).after(0))[1]]


async def test_a_new_database_begins_an_epoch_at_zero(database: Database) -> None:
    head = await SqlJournal(database).head()
    assert head.seq == 0
    assert len(head.epoch) >= 12


async def test_rules_of_one_change_take_the_next_numbers_in_order(database: Database) -> None:
    written = await write(database, ending(1), Rule.revoking(RuleKind.SUBJECT, "s"), Rule.changed(RuleKind.EVERYTHING))
    assert [rule.seq for rule in written] == [1, 2, 3]
    assert [rule.seq for rule in await write(database, ending(2))] == [4]
    head, read = await SqlJournal(database).after(0)
    assert head.seq == 4
    assert read[:3] == written


async def test_two_hundred_changes_at_once_leave_no_gap_and_no_number_twice(database: Database) -> None:
    """I2: and nobody ever sees a number before all smaller ones."""
    seen: list[int] = []
    done = asyncio.Event()

    async def observe() -> None:
        while not done.is_set():
            head, rules = await SqlJournal(database).after(0)
            assert [rule.seq for rule in rules] == list(range(1, head.seq + 1))
            seen.append(head.seq)
            await asyncio.sleep(0.01)

    observer = asyncio.create_task(observe())
    limit = asyncio.Semaphore(20)

    async def one(number: int) -> list[int]:
        async with limit:
            return [rule.seq for rule in await write(database, *(ending(number) for _ in range(1 + number % 3)))]

    taken = await asyncio.gather(*(one(number) for number in range(200)))
    done.set()
    await observer
    flat = sorted(seq for each in taken for seq in each)
    assert flat == list(range(1, len(flat) + 1)) == await numbers(database)
    assert all(each == list(range(each[0], each[0] + len(each))) for each in taken)
    assert seen == sorted(seen)


async def test_a_change_that_fails_burns_no_number_and_leaves_nothing(database: Database) -> None:
    """I2"""
    with pytest.raises(RuntimeError):
        async with changes(database, HORIZON, KEPT)() as change:
            change.revoke(ending(1))
            change.record(AuditEvent(event="never"))
            raise RuntimeError
    assert [rule.seq for rule in await write(database, ending(2))] == [1]
    async with database.read() as session:
        assert await session.scalar(select(func.count()).select_from(AuditEvent)) == 0


async def test_a_change_cancelled_before_its_commit_burns_no_number(database: Database) -> None:
    """I2"""
    opened = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as session:
            await write_rules(session, [ending(1)], int(time.time()), HORIZON, KEPT)
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [rule.seq for rule in await write(database, ending(2))] == [1]


async def test_a_change_without_rules_takes_no_number(database: Database) -> None:
    assert await write(database) == []
    assert (await SqlJournal(database).head()).seq == 0


async def test_after_returns_the_rules_beyond_a_number_only(database: Database) -> None:
    await write(database, *(ending(number) for number in range(5)))
    head, rules = await SqlJournal(database).after(3)
    assert (head.seq, [rule.seq for rule in rules]) == (5, [4, 5])
    assert (await SqlJournal(database).after(5))[1] == []


async def test_live_holds_what_can_match_a_token_or_a_session(database: Database) -> None:
    """Expired rules go, except the ends of people and clients (sessions outlive tokens) and those of keys (for ever)."""
    await write(
        database,
        ending(1),
        Rule.ending(RuleKind.SUBJECT, "gone"),
        Rule.ending(RuleKind.CLIENT, "old"),
        Rule.revoking(RuleKind.SUBJECT, "narrowed"),
        Rule.revoking(RuleKind.KEY, "kid"),
        horizon=-1,
    )
    await write(database, ending(2), Rule.changed(RuleKind.CLIENT, "renamed"), Rule.revoking(RuleKind.TOKEN, "jti"))
    chunks = [each async for each in SqlJournal(database).live()]
    rules = [rule for _, some in chunks for rule in some]
    assert {head.seq for head, _ in chunks} == {8}
    assert [(rule.seq, rule.kind) for rule in rules] == [
        (2, RuleKind.SUBJECT),
        (3, RuleKind.CLIENT),
        (5, RuleKind.KEY),
        (6, RuleKind.GRANT),
        (8, RuleKind.TOKEN),
    ]
    assert rules[2].expires_at is None


async def test_ended_grants_are_found_by_name_for_a_redis_that_lost_them(database: Database) -> None:
    """I2"""
    await write(database, ending(1), Rule.revoking(RuleKind.GRANT, "tokens-only"), Rule.ending(RuleKind.SUBJECT, "s"))
    await write(database, ending(2), ending(3))
    journal = SqlJournal(database)
    ended = await journal.ended_grants_after(0)
    assert [grant for _, grant in ended] == ["grant-1", "grant-2", "grant-3"]
    assert [grant for _, grant in await journal.ended_grants_after(4)] == ["grant-3"]
    assert await journal.ended_grants_after(ended[0].seq, limit=1) == ended[1:2]
    assert await journal.ended_grants_after(0, up_to=ended[1].seq) == ended[:2]
    assert await journal.ended_grants_after(5) == []


async def test_an_ended_grant_is_known_as_long_as_its_family_can_live(database: Database) -> None:
    """A45: long after its access tokens have expired."""
    await write(database, ending(1), Rule.revoking(RuleKind.GRANT, "tokens-only"), horizon=-1)
    await SqlJournal(database).purge(int(time.time()))
    journal = SqlJournal(database)
    assert await journal.has_ended("grant-1")
    assert not await journal.has_ended("tokens-only")
    assert not await journal.has_ended("grant-2")


async def test_purge_removes_what_matches_nothing_any_more_and_nothing_else(database: Database) -> None:
    now = int(time.time())
    await write(database, Rule.revoking(RuleKind.SUBJECT, "a"), Rule.changed(RuleKind.EVERYTHING), ending(1))
    await write(database, Rule.revoking(RuleKind.KEY, "kid"))
    journal = SqlJournal(database)
    assert await journal.purge(now) == 0
    assert await journal.purge(now + HORIZON + 5) == 2
    assert await numbers(database) == [3, 4]
    assert await journal.purge(now + KEPT + 5) == 1
    assert await numbers(database) == [4]
    assert (await journal.head()).seq == 4
    assert [rule.seq for rule in await write(database, ending(2))] == [5]


async def test_a_rule_keeps_what_it_names_for_us_and_its_digest_for_readers(database: Database) -> None:
    await write(database, Rule.revoking(RuleKind.AUDIENCE_SCOPE, "https://orders.example.com", "orders:read"))
    async with database.read() as session:
        row = (await session.scalars(select(RevocationRule))).one()
    assert row.value == "https://orders.example.com orders:read"
    assert row.digest == rule_digest(RuleKind.AUDIENCE_SCOPE, "https://orders.example.com", "orders:read")
    assert (row.kind, row.kept_until) == (RuleKind.AUDIENCE_SCOPE, None)


async def begin_epoch(database: Database, behind: Head, reached: int) -> list[NumberedRule]:
    """Returns the rules that were written with it, if one began."""
    async with changes(database, HORIZON, KEPT)() as change:
        await change.begin_epoch(behind, reached, ())
    return change.numbered


async def test_a_new_epoch_begins_above_everything_redis_has_seen_and_ends_everything(database: Database) -> None:
    """I2, F25: after SQL was restored to an earlier state, numbers would repeat, and what was revoked since is forgotten."""
    await write(database, ending(1))
    journal = SqlJournal(database)
    old, began = await journal.head(), time.time()
    (rule,) = await begin_epoch(database, old, 50)
    new = await journal.head()
    assert new.epoch != old.epoch
    assert rule.seq == new.seq > max(50 + LEAP, began * 1e6)
    assert (rule.kind, rule.digest, rule.ends) == (RuleKind.EVERYTHING, rule_digest(RuleKind.EVERYTHING), True)
    assert [rule.seq for rule in await write(database, ending(2))] == [new.seq + 1]
    async with database.read() as session:
        (event,) = (await session.scalars(select(AuditEvent))).all()
    assert (event.event, event.detail) == ("feed.restored", "SQL stood at 1, numbers at 50")


async def test_no_epoch_begins_without_need(database: Database) -> None:
    """Somebody else already did it, or SQL is not behind."""
    await write(database, ending(1))
    journal = SqlJournal(database)
    head = await journal.head()
    for behind, reached in ((Head("another", 0), 50), (head, 1), (head, 0)):
        assert await begin_epoch(database, behind, reached) == []
    assert await journal.head() == head


async def test_processes_that_find_sql_behind_together_begin_one_epoch(database: Database) -> None:
    """I2: a second epoch at the same number would give numbers twice."""
    for round_ in range(10):
        before = await SqlJournal(database).head()

        async def begin_and_write(before: Head = before, number: int = round_) -> tuple[bool, list[NumberedRule]]:
            begun = await begin_epoch(database, before, before.seq + 50)
            return bool(begun), begun + await write(database, ending(number))

        outcomes = await asyncio.gather(*(begin_and_write() for _ in range(8)))
        assert sum(has_begun for has_begun, _ in outcomes) == 1
        written = sorted(rule.seq for _, rules in outcomes for rule in rules)
        assert written == list(range(written[0], written[0] + 9))
        assert written[0] > before.seq + 50 + LEAP


async def test_a_database_that_is_away_is_an_error(tmp_path: Path) -> None:
    """I5"""
    for url in ("postgresql+psycopg://nobody@127.0.0.1:1/none", f"sqlite+aiosqlite:///{tmp_path}/missing/folder.db"):
        database = Database(url)
        with pytest.raises(StoreUnavailableError):
            await SqlJournal(database).head()
        with pytest.raises(StoreUnavailableError):
            await write(database, ending(1))
        await database.close()
    await until_drivers_have_ended()


@pytest.mark.parametrize("statement", ["DROP TABLE feed_head", "DELETE FROM feed_head"])
async def test_a_database_that_is_being_restored_is_away(database: Database, statement: str) -> None:
    """I5, F25: its tables are not there yet, or their rows; nothing is known of what is revoked."""
    async with database.transaction() as session:
        await session.execute(text(statement))
    for asking in (SqlJournal(database).head(), SqlJournal(database).after(0), write(database, ending(1))):
        with pytest.raises(StoreUnavailableError):
            await asking


async def until_drivers_have_ended() -> None:
    """aiosqlite's thread for a connection that failed outlives the error by a moment, and wants the event loop."""
    deadline = time.monotonic() + 5
    while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_reader_sees_the_committed_state_while_a_change_is_open(database: Database) -> None:
    """Reads never wait for a writer that has not committed."""
    async with database.transaction() as session:
        await write_rules(session, [ending(1)], int(time.time()), HORIZON, KEPT)
        await session.flush()
        assert (await asyncio.wait_for(SqlJournal(database).head(), 2)).seq == 0
    assert (await SqlJournal(database).head()).seq == 1


async def test_an_earlier_state_of_sql_is_what_its_head_says(database: Database) -> None:
    """Rules above the head belong to a history that is gone; they are not read."""
    await write(database, *(ending(number) for number in range(5)))
    async with database.transaction() as session:
        await session.execute(update(FeedHead).values(seq=3))
    head, rules = await SqlJournal(database).after(0)
    assert (head.seq, [rule.seq for rule in rules]) == (3, [1, 2, 3])
    assert CHANGED not in {rule.kind for rule in rules}
