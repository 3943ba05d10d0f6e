"""What time it is for the database; SQLite's clock is this machine's."""

from __future__ import annotations

from sqlalchemy import text

from identity.store.sql.engine import Database

_NOW = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
}


class SqlClock:
    """Implements `feed.clocks.StoreClock`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def now(self) -> float:
        """Returns the database's wall clock, Unix seconds."""
        async with self._database.read() as session:
            return float((await session.execute(text(_NOW[session.get_bind().dialect.name]))).scalar_one())
