"""A PostgreSQL that says nothing, is held up, or has no room: who asks is told in time, and nothing stays behind (F08, F09)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from cut_line import lines
from dev_process import free_ports
from engines import SqlServer, postgresql_uri
from sqlalchemy import text

from identity.feed.ledger import Ledger
from identity.feed.rules import Head, Rule
from identity.feed.stores import StoreConflictError, StoreUnavailableError
from identity.models import AuditEvent
from identity.oauth.grants.sessions import Sessions
from identity.store.sql import postgresql
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.engine import ANSWER_SECONDS, Database
from identity.store.sql.journal import SqlJournal
from identity.store.sql.migration import migrate
from identity.verifier.profile import RuleKind

IN_TIME = ANSWER_SECONDS + 1.5
"""Seconds, on a busy machine."""


@pytest.fixture(params=["postgresql", "pgbouncer"])
def sql(request: pytest.FixtureRequest, tmp_path) -> SqlServer:
    """PostgreSQL, directly and behind PgBouncer in transaction mode; none of this can happen to SQLite."""
    return SqlServer(request.param, tmp_path)


@asynccontextmanager
async def session_of_a_stranger(database: Database) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Somebody else's connection to the same database."""
    name = database.engine.url.database
    uri = postgresql_uri().replace("/postgres?", f"/{name}?")
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        yield connection


async def revoke(database: Database, grant: str = "g") -> None:
    async with changes(database, 990, 1000)() as change:
        change.revoke(Rule.ending(RuleKind.GRANT, grant))


async def outcome(asking: Any) -> tuple[str, float]:
    """What came of it, and after how many seconds."""
    began = time.monotonic()
    try:
        await asking
    except StoreUnavailableError as error:
        return type(error).__name__, time.monotonic() - began
    return "done", time.monotonic() - began


async def test_of_many_who_ask_a_silent_database_nobody_waits_much_longer_than_one_answer() -> None:
    """I5, I6, F08: not even those who wait for their turn; and while it is silent, all but one are told at once."""
    uri, (port,) = urlsplit(postgresql_uri()), free_ports(1)
    socket = f"{parse_qs(uri.query)['host'][0]}/.s.PGSQL.5432"
    database = Database(f"postgresql+psycopg://{uri.username}@127.0.0.1:{port}/postgres", connections=4)

    async def ask() -> None:
        async with database.read() as session:
            await session.execute(text("SELECT 1"))

    async with lines(sql=(port, socket)) as line:
        await asyncio.gather(*(ask() for _ in range(8)))
        await line.order(sql="silent")
        first = await asyncio.gather(*(outcome(ask()) for _ in range(40)))
        assert {what for what, _ in first} == {"StoreUnavailableError"}
        assert max(seconds for _, seconds in first) < IN_TIME
        then = sorted(seconds for _, seconds in await asyncio.gather(*(outcome(ask()) for _ in range(40))))
        assert then[-2] < 0.5
        assert then[-1] < IN_TIME
        await line.order(sql="pass")
        began = time.monotonic()
        while (await outcome(ask()))[0] != "done":
            assert time.monotonic() - began < 10
            await asyncio.sleep(0.05)
        assert {what for what, _ in await asyncio.gather(*(outcome(ask()) for _ in range(40)))} == {"done"}
    await database.close()


async def test_a_held_lock_is_an_error_in_time_and_the_head_is_read_meanwhile(database: Database) -> None:
    """F09: whoever holds the journal's lock keeps others from revoking, not from issuing."""
    async with session_of_a_stranger(database) as stranger, stranger.transaction():
        await stranger.execute("LOCK TABLE revocation_rule IN ACCESS EXCLUSIVE MODE")
        trying = asyncio.gather(*(outcome(revoke(database, str(number))) for number in range(30)))
        looks, began = [], time.monotonic()
        while not trying.done():
            asked_at = time.monotonic()
            assert (await SqlJournal(database).head()).seq == 0
            looks.append(time.monotonic() - asked_at)
            await asyncio.sleep(0.05)
        assert median(looks) < 0.5, "a lock is waited for longer"
        assert max(looks) < IN_TIME, "the head has to be read in time, whoever holds the lock"
        assert {what for what, _ in await trying} == {"StoreUnavailableError"}
        assert time.monotonic() - began < 2 * IN_TIME
    await revoke(database)
    assert (await SqlJournal(database).head()).seq == 1


async def test_a_statement_that_takes_too_long_is_ended_and_leaves_nothing(database: Database) -> None:
    """F09: pg_sleep in a trigger."""
    async with session_of_a_stranger(database) as stranger:
        await stranger.execute(
            "CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$ LANGUAGE plpgsql"
        )
        await stranger.execute(
            "CREATE TRIGGER slow BEFORE INSERT ON revocation_rule FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        what, seconds = await outcome(revoke(database))
        assert what == "StoreUnavailableError"
        assert seconds < IN_TIME
        await stranger.execute("DROP TRIGGER slow ON revocation_rule")
        busy = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            " AND query LIKE 'INSERT%' AND pid <> pg_backend_pid()"
        )
        assert (await (await stranger.execute(busy)).fetchone()) == (0,)
    await revoke(database)
    assert (await SqlJournal(database).head()).seq == 1, "the attempt took no number"


async def test_who_falls_asleep_in_a_transaction_does_not_keep_others_from_revoking(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F09, I7: a frozen process, or a machine that is gone, holds the head's lock until its TCP connection is given up."""
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 1)
    locked = asyncio.Event()

    async def fall_asleep() -> None:
        async with database.transaction(0.9) as session:
            await session.execute(text("UPDATE feed_head SET seq = seq + 1"))
            locked.set()
            await asyncio.sleep(4)

    sleeping = asyncio.create_task(outcome(fall_asleep()))
    await locked.wait()
    began = time.monotonic()
    while (await outcome(revoke(database)))[0] != "done":
        assert time.monotonic() - began < 6
    assert (await sleeping)[0] == "StoreUnavailableError"
    assert (await SqlJournal(database).head()).seq == 1


async def test_a_deadlock_is_a_conflict_and_what_only_changes_is_done_again(database: Database) -> None:
    """F09: the loser's transaction is undone whole, so it may be done again; twice at most."""
    journal = SqlJournal(database)
    attempts: list[int] = []

    class Nowhere:
        async def append(self, *_: object) -> bool:
            return True

    ledger: Ledger[SqlChange] = Ledger(changes(database, 990, 1000), journal, Nowhere())  # type: ignore[arg-type]

    async def against(order: tuple[str, str], met: asyncio.Barrier, act: Callable[[str], Any]) -> None:
        await act(order[0])
        await met.wait()
        await act(order[1])

    async with session_of_a_stranger(database) as stranger:
        for table in ("a", "b"):
            await stranger.execute(f"CREATE TABLE {table} (x int)")
        met = asyncio.Barrier(2)

        async def lose(change: SqlChange) -> str:
            attempts.append(1)
            session = change._session
            if len(attempts) > 1:
                change.revoke(Rule.ending(RuleKind.GRANT, "g"))
                return "again"
            await against(("a", "b"), met, lambda table: session.execute(text(f"LOCK TABLE {table}")))
            return "first"

        async def win() -> None:
            await stranger.execute("SET deadlock_timeout = '10s'")
            async with stranger.transaction():
                await against(("b", "a"), met, lambda table: stranger.execute(f"LOCK TABLE {table}"))

        answer, _ = await asyncio.gather(ledger.perform(lose), win())
    assert answer == "again"
    assert len(attempts) == 2
    assert (await journal.head()).seq == 1


async def test_an_act_that_always_loses_is_given_up_after_three_attempts(database: Database) -> None:
    """F09, I6: bounded, and one that failed for another reason is not repeated at all."""
    attempts: list[int] = []
    ledger: Ledger[SqlChange] = Ledger(changes(database, 990, 1000), SqlJournal(database), None)  # type: ignore[arg-type]

    async def lose(change: SqlChange) -> None:
        attempts.append(1)
        code = "40P01" if len(attempts) < 10 else "53100"
        await change._session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$"))

    with pytest.raises(StoreConflictError):
        await ledger.perform(lose)
    assert len(attempts) == 3
    attempts += [1] * 10
    with pytest.raises(StoreUnavailableError):
        await ledger.perform(lose)
    assert len(attempts) == 14
    assert (await SqlJournal(database).head()) == Head((await SqlJournal(database).head()).epoch, 0)


async def test_connections_that_died_while_they_rested_fail_nobody(database: Database) -> None:
    """F08: after a restart every one of them is dead; their first word finds out, before anything was done."""
    await asyncio.gather(*(revoke(database, str(number)) for number in range(8)))
    async with session_of_a_stranger(database) as stranger:
        await stranger.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert {what for what, _ in await asyncio.gather(*(outcome(revoke(database)) for _ in range(8)))} == {"done"}


async def test_a_pooler_that_hangs_up_on_everybody_is_an_error_at_once(tmp_path) -> None:
    """F08: behind PgBouncer a connection is made although the database is gone, and its first word is the last."""
    heard: list[int] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(1)
        await reader.read(1000)
        ready = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"
        writer.write(ready)
        await reader.read(1000)
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / ".s.PGSQL.5432")
    database = Database(f"postgresql+psycopg://nobody@/none?host={tmp_path}")
    for _ in range(2):
        assert (await asyncio.wait_for(outcome(SqlJournal(database).head()), 5))[0] == "StoreUnavailableError"
    assert len(heard) <= 4
    await database.close()
    server.close()


async def test_a_revocation_that_lost_to_a_deadlock_is_written_once_with_its_event(database: Database) -> None:
    """F09, A55: the second attempt writes what the first had written, whose rows are gone."""

    class Nowhere:
        async def append(self, *_: object) -> bool:
            return True

    ledger: Ledger[SqlChange] = Ledger(changes(database, 990, 1000), SqlJournal(database), Nowhere())  # type: ignore[arg-type]
    sessions = Sessions(ledger, Nowhere())  # type: ignore[arg-type]
    async with session_of_a_stranger(database) as stranger:
        await stranger.execute("SET deadlock_timeout = '10s'")
        async with stranger.transaction():
            await stranger.execute("UPDATE feed_head SET seq = seq")
            ending = asyncio.create_task(sessions.end(AuditEvent(event="token.revoked", grant_id="g")))
            busy = "SELECT 1 FROM pg_locks WHERE relation = 'audit_event'::regclass AND mode = 'RowExclusiveLock'"
            while await (await stranger.execute(busy)).fetchone() is None:
                await asyncio.sleep(0.02)
            await stranger.execute("LOCK TABLE audit_event IN SHARE ROW EXCLUSIVE MODE")
        await ending
        lost = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        async with asyncio.timeout(10):
            while (await (await stranger.execute(lost)).fetchone()) != (1,):
                await asyncio.sleep(0.1)
        counts = "SELECT (SELECT count(*) FROM revocation_rule), (SELECT count(*) FROM audit_event)"
        assert await (await stranger.execute(counts)).fetchone() == (1, 1)


async def test_a_server_without_room_is_an_error_at_once(tmp_path) -> None:
    """F09: max_connections; the web layer makes it 503 with Retry-After."""
    server = SqlServer("postgresql", tmp_path)
    database = Database(await server.migrated_url())
    name = database.engine.url.database
    async with session_of_a_stranger(database) as stranger:
        await stranger.execute(f"CREATE ROLE few_{name} LOGIN CONNECTION LIMIT 3")
        await stranger.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO few_{name}")
    few = Database(str(database.engine.url.set(username=f"few_{name}")))
    found = await asyncio.gather(*(outcome(revoke(few, str(number))) for number in range(10)))
    assert {what for what, _ in found} == {"done", "StoreUnavailableError"}
    assert max(seconds for _, seconds in found) < IN_TIME
    assert (await outcome(revoke(few)))[0] == "done"
    assert (await SqlJournal(database).head()).seq == 1 + [what for what, _ in found].count("done")
    await few.close()
    await database.close()


async def test_a_migration_waits_for_a_table_and_lets_others_read_meanwhile(sql: SqlServer) -> None:
    """F24: whoever asks for a table after a waiting ALTER waits behind it."""
    database = Database(sql.url())
    async with session_of_a_stranger(database) as stranger:
        await stranger.execute("CREATE TABLE alembic_version (version_num varchar(32) primary key)")
        async with stranger.transaction():
            await stranger.execute("LOCK TABLE alembic_version")
            migrating = asyncio.create_task(migrate(database))
            await asyncio.sleep(2.5)
            assert not migrating.done()
    await asyncio.wait_for(migrating, 20)
    assert (await SqlJournal(database).head()).seq == 0
    await database.close()
