"""What there is to know of the database, for the doctor."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select

from identity.models import ApiKey, AuditEvent, Client, User
from identity.store.sql.engine import Database
from identity.store.sql.journal import read_head
from identity.store.sql.registrations import Registrations
from identity.store.sql.revision import tables_of


class SqlCondition:
    """Implements `administration.doctor.patient.SqlCondition`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tables(self) -> tuple[str, str]:
        """Returns the revision of its tables, and why this version must not run on them (empty: it may)."""
        tables = await tables_of(self._database)
        return tables.revision or "", tables.problem_for()

    async def demo_rows(self) -> list[str]:
        """Returns the names of demo people, clients and resources."""
        async with self._database.read() as session:
            return await Registrations(session).demo_rows()

    async def has_people(self) -> bool:
        """Tells whether anybody can log in."""
        async with self._database.read() as session:
            return (await session.scalars(select(User.subject).limit(1))).first() is not None

    async def events_since(self, since: datetime, names: Collection[str]) -> dict[str, tuple[int, datetime]]:
        """Returns how often the audit trail tells of each of these events, and when it did last."""
        query = (
            select(AuditEvent.event, func.count(), func.max(AuditEvent.at))
            .where(col(AuditEvent.at) > since, col(AuditEvent.event).in_(names))
            .group_by(AuditEvent.event)
        )
        async with self._database.read() as session:
            rows = (await session.execute(query)).all()
        return {event: (count, last if last.tzinfo else last.replace(tzinfo=UTC)) for event, count, last in rows}

    async def contents(self) -> dict[str, Any]:
        """Returns how much there is of what, how far the rules go, and when the audit trail ends."""
        counted = {"people": User, "clients": Client, "api_keys": ApiKey}
        async with self._database.read() as session:
            found: dict[str, Any] = {
                name: (await session.execute(select(func.count()).select_from(model))).scalar_one()
                for name, model in counted.items()
            }
            last = (await session.execute(select(func.max(AuditEvent.at)))).scalar_one()
            return {
                **found,
                "seq": (await read_head(session)).seq,
                "last_event": f"{last:%Y-%m-%d %H:%M:%S}" if last else "",
            }
