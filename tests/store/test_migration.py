"""Migrations: the same tables however often, and by however many, a database is brought up to date (F24)."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from engines import SqlServer
from sqlalchemy import Connection
from sqlmodel import SQLModel

from identity.feed.stores import StoreUnavailableError
from identity.models import Role
from identity.store.sql import migrations
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.store.sql.migration import _config, migrate
from identity.store.sql.registrations import Registrations
from identity.store.sql.revision import NEWEST_REVISION, current_revision

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
    assert await current_revision(database) is None
    assert await migrate(database) == NEWEST_REVISION == await current_revision(database)
    assert (await SqlJournal(database).head()).seq == 0
    await database.close()


async def test_a_second_migration_changes_nothing(sql: SqlServer) -> None:
    database = Database(sql.url())
    await migrate(database)
    head = await SqlJournal(database).head()
    await migrate(database)
    assert await SqlJournal(database).head() == head
    await database.close()


async def test_a_database_of_the_first_version_keeps_its_rows(sql: SqlServer) -> None:
    def begin(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "r0001")

    database = Database(sql.url())
    async with database.transaction() as session:
        await (await session.connection()).run_sync(begin)
    assert await current_revision(database) == "r0001"
    async with database.transaction() as session:
        session.add(Role(name="reader", scopes=["orders:read"]))
    head = await SqlJournal(database).head()
    await migrate(database)
    assert await SqlJournal(database).head() == head
    async with database.read() as session:
        assert [role.name for role in await Registrations(session).roles()] == ["reader"]
        assert await Registrations(session).api_keys() == []
    await database.close()


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
        assert await asyncio.gather(*(current_revision(database) for database in databases)) == [None] * 4
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
    for attempt in (migrate(database), current_revision(database)):
        with pytest.raises(StoreUnavailableError):
            await attempt
    await database.close()


def test_the_newest_revision_is_the_last_script() -> None:
    """A serving process knows its revision without loading Alembic."""
    folder = Path(migrations.__file__).parent
    heads = ScriptDirectory(str(folder)).get_heads()
    assert heads == [NEWEST_REVISION]
