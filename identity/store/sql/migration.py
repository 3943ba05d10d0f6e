"""Bringing a database to this version's tables; safe when several replicas try at once, and beside servers that run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from identity.feed.stores import StoreUnavailableError
from identity.store.sql.engine import WORK_SECONDS, Database
from identity.store.sql.revision import NEWEST_REVISION

_LOCK_NUMBER = 7_203_114_585
"""Arbitrary, but the same in every replica: the PostgreSQL advisory lock that lets one of them migrate at a time."""

_LOCK_SECONDS: Final = 1.5
"""How long a step waits for a table that is in use. Whoever comes after a waiting ALTER waits behind it, servers too: less than
their statements may take."""

_ATTEMPTS: Final = 40
_PAUSE_SECONDS: Final = 0.5
_LOCK_NOT_AVAILABLE: Final = "55P03"


async def migrate(database: Database) -> str:
    """Brings the tables to the newest revision and returns its name. Replicas that come second find nothing to do."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            async with database.transaction(WORK_SECONDS) as session:
                await (await session.connection()).run_sync(_upgrade)
            return NEWEST_REVISION
        except StoreUnavailableError as error:
            # All of it is one transaction: a table that was in use is no harm, somebody who holds it for a minute is.
            if not left or not _was_in_use(error):
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError


def _was_in_use(error: StoreUnavailableError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OperationalError) and getattr(cause.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _upgrade(connection: Connection) -> None:
    # SQLite needs no lock of its own: the transaction began IMMEDIATE, so it is the only writer.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(1000 * _LOCK_SECONDS)}")
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
