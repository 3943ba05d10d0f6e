"""Which tables a database has, and which this version needs. A serving process asks this without loading Alembic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect, text

from identity.store.sql.engine import Database

NEWEST_REVISION: Final = "r0006"
"""The last of `migrations/versions/`; a test holds it to that."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The shape of a database: the revision of its tables (None: there are none), and the oldest whose servers may run on them.
    Revisions are compared as text: they count up and have four digits."""

    revision: str | None
    oldest: str

    def problem_for(self, version: str = NEWEST_REVISION) -> str:
        """Returns why a server of this revision must not run on them; nothing if it may. One that is older than the tables may
        if they say so: while a new version is rolled out, the old one goes on and is started again."""
        if self.revision is None or self.revision < version:
            return f"The database is at revision {self.revision or 'none'}, not {version}; run `identity migrate`."
        if version < self.oldest:
            return f"The database is at revision {self.revision}, which needs a newer version of this server."
        return ""


async def tables_of(database: Database) -> Tables:
    """Returns the shape of the database."""
    async with database.read() as session:
        return await (await session.connection()).run_sync(_tables)


def _tables(connection: Connection) -> Tables:
    tables = inspect(connection).get_table_names()
    revision = oldest = None
    if "alembic_version" in tables:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if "compatibility" in tables:
        oldest = connection.execute(text("SELECT oldest FROM compatibility")).scalar()
    return Tables(revision, oldest or revision or "")
