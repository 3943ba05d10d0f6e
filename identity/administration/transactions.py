"""Operators change one at a time, so that each decides on what the one before has done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from identity.feed.ledger import Ledger
from identity.store.sql.change import SqlChange


@asynccontextmanager
async def operator_change(ledger: Ledger[SqlChange]) -> AsyncIterator[SqlChange]:
    """Opens a change that no other operator's change overlaps. Otherwise two secrets added at once would lose one, and a
    role given while it is narrowed would give tokens that no rule names."""
    async with ledger.change() as change:
        await change.registrations.hold_still()
        yield change
