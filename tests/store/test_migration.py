"""Migrations: the same tables however often, and by however many, a database is brought up to date (F24)."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from engines import SqlServer
from sqlalchemy import Connection
from sqlmodel import SQLModel

from identity.feed.stores import StoreUnavailableError
from identity.store.sql import migrations
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.store.sql.migration import migrate
from identity.store.sql.revision import NEWEST_REVISION, Tables, tables_of

MIGRATE = """
import asyncio, sys
from identity.store.sql.engine import Database
from identity.store.sql.migration import migrate

async def main():
    sys.stdin.readline()
    database = Database(sys.argv[1])
    print(await migrate(database))
    await database.close()

print("ready", flush=True)
asyncio.run(main())
"""


async def test_an_empty_database_gets_the_newest_tables(sql: SqlServer) -> None:
    database = Database(sql.url())
    assert (await tables_of(database)).revision is None
    assert await migrate(database) == NEWEST_REVISION == (await tables_of(database)).revision
    assert (await SqlJournal(database).head()).seq == 0
    await database.close()


async def test_a_second_migration_changes_nothing(sql: SqlServer) -> None:
    database = Database(sql.url())
    await migrate(database)
    head = await SqlJournal(database).head()
    await migrate(database)
    assert await SqlJournal(database).head() == head
    await database.close()


@pytest.mark.parametrize(
    ("tables", "version", "problem"),
    [
        (Tables("r0004", "r0003"), "r0004", ""),
        (Tables("r0005", "r0004"), "r0004", ""),
        (Tables("r0007", "r0004"), "r0004", ""),
        (Tables(None, ""), "r0004", "none, not r0004; run `identity migrate`"),
        (Tables("r0003", "r0002"), "r0004", "r0003, not r0004; run `identity migrate`"),
        (Tables("r0006", "r0005"), "r0004", "needs a newer version"),
    ],
)
def test_a_server_runs_on_its_own_tables_and_on_later_ones_that_still_have_what_it_needs(tables, version, problem):
    """F24: while N is rolled out, N-1 goes on and may be started again."""
    assert bool(tables.problem_for(version)) == bool(problem)
    assert problem in tables.problem_for(version)


async def test_tables_say_which_versions_may_run_on_them(database: Database) -> None:
    """F24: the version before at least. r0002 itself was strict: what it needs is here, but it does not start again."""
    assert await tables_of(database) == Tables(NEWEST_REVISION, "r0002")


async def test_several_migrations_at_once_in_one_process_make_one_set_of_tables(sql: SqlServer) -> None:
    url = sql.url()
    databases = [Database(url) for _ in range(4)]
    await asyncio.gather(*(migrate(database) for database in databases))
    assert (await SqlJournal(databases[0]).head()).seq == 0
    for database in databases:
        await database.close()


async def test_a_new_sqlite_file_opened_by_several_at_once_is_locked_for_nobody(tmp_path: Path) -> None:
    """SQLite does not wait for a lock while it switches a new file to its write-ahead log."""
    for number in range(60):
        databases = [Database(f"sqlite+aiosqlite:///{tmp_path}/{number}.db") for _ in range(4)]
        assert await asyncio.gather(*(tables_of(database) for database in databases)) == [Tables(None, "")] * 4
        for database in databases:
            await database.close()


async def test_three_processes_that_migrate_at_once_all_succeed(sql: SqlServer) -> None:
    """Three replicas of a new deployment start together."""
    argv = [sys.executable, "-W", "error", "-c", MIGRATE, sql.url()]
    processes = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = [await asyncio.to_thread(process.communicate, timeout=30) for process in processes]
    assert outcomes == [(f"{NEWEST_REVISION}\n", "")] * 3


async def test_the_models_are_what_the_migrations_make(database: Database) -> None:
    """Neither has a column, type, index or key that the other lacks."""

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, SQLModel.metadata))

    async with database.transaction() as session:
        connection = await session.connection()
        assert await connection.run_sync(differences) == []


async def test_a_database_that_is_away_cannot_be_migrated() -> None:
    """I5"""
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    for attempt in (migrate(database), tables_of(database)):
        with pytest.raises(StoreUnavailableError):
            await attempt
    await database.close()


def test_the_newest_revision_is_the_last_script() -> None:
    """A serving process knows its revision without loading Alembic."""
    folder = Path(migrations.__file__).parent
    heads = ScriptDirectory(str(folder)).get_heads()
    assert heads == [NEWEST_REVISION]
