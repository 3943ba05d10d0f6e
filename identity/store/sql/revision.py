"""Which tables a database has, and which this version needs. A serving process asks this without loading Alembic."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from identity.store.sql.engine import Database

NEWEST_REVISION = "r0003"
"""The last of `migrations/versions/`; a test holds it to that."""


async def current_revision(database: Database) -> str | None:
    """Returns the revision of the database's tables, or None for an empty database."""
    async with database.transaction() as session:
        return await (await session.connection()).run_sync(_revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
