"""Bringing a database to this version's tables; safe when several replicas try at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from identity.store.sql.engine import Database
from identity.store.sql.revision import NEWEST_REVISION

_LOCK_NUMBER = 7_203_114_585
"""Arbitrary, but the same in every replica: the PostgreSQL advisory lock that lets one of them migrate at a time."""


async def migrate(database: Database) -> str:
    """Brings the tables to the newest revision and returns its name. Replicas that come second find nothing to do."""
    async with database.transaction() as session:
        connection = await session.connection()
        await connection.run_sync(_upgrade)
    return NEWEST_REVISION


def _upgrade(connection: Connection) -> None:
    # SQLite needs no lock of its own: the transaction began IMMEDIATE, so it is the only writer.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
