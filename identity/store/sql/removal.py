"""Removing rows that nobody needs any more, without holding up anybody."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, delete
from sqlalchemy.orm import Mapped
from sqlmodel import SQLModel, select

from identity.store.sql.engine import WORK_SECONDS, Database

_BATCH = 2000
"""Rows in one transaction: others wait for it some milliseconds at most, on SQLite too."""


async def remove(database: Database, table: type[SQLModel], key: Mapped[Any], condition: ColumnElement[bool]) -> int:
    """Removes the rows that meet the condition and returns how many. Any number of processes may do so at once: each leaves
    alone what another is about to remove. One that ends in between loses nothing but its turn."""
    removed, some = 0, _BATCH
    while some == _BATCH:
        doomed = select(key).where(condition).limit(_BATCH).with_for_update(skip_locked=True)
        async with database.transaction(WORK_SECONDS) as session:
            result = await session.execute(delete(table).where(key.in_(doomed)))
            some = int(getattr(result, "rowcount", 0))
        removed += some
    return removed
