"""Logout notices in SQL: written with what ended, and handed to one server at a time until the client has heard (an outbox)."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, func, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from identity.accounts.participants import Participant
from identity.models import Client, LogoutNotice
from identity.store.sql.engine import Database


async def write_notices(session: AsyncSession, subject: str, participants: Collection[Participant], now: int) -> None:
    """Adds a notice for each of these whose client wants one, in the transaction of the caller."""
    ids = {participant.client_id for participant in participants}
    telling = col(Client.client_id).in_(ids), col(Client.backchannel_logout_uri) != ""
    wanting = set((await session.scalars(select(Client.client_id).where(*telling))).all()) if ids else set()
    session.add_all(
        LogoutNotice(
            id=secrets.token_hex(16),
            client_id=participant.client_id,
            subject=subject,
            session_id=participant.session_id,
            due_at=now,
            created_at=now,
        )
        for participant in participants
        if participant.client_id in wanting
    )


class SqlLogoutNotices:
    """Implements `oauth.logout_notices.LogoutNotices`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def clients(self, now: int, most: int, besides: Collection[str]) -> Sequence[str]:
        """Reads, and locks nothing: nearly always there is nobody. Who waits longest comes first, so that many who hang do not
        keep the others waiting."""
        client_id = col(LogoutNotice.client_id)
        due = select(client_id).where(_due(now), client_id.not_in(list(besides))).group_by(client_id)
        async with self._database.read() as session:
            return (await session.scalars(due.order_by(func.min(col(LogoutNotice.due_at))).limit(most))).all()

    async def claim(self, client_id: str, now: int, until: int) -> LogoutNotice | None:
        """Locks one that nobody else has locked, and marks it before the lock is gone."""
        due = select(LogoutNotice).where(_due(now), col(LogoutNotice.client_id) == client_id)
        due = due.order_by(col(LogoutNotice.due_at)).limit(1).with_for_update(skip_locked=True)
        async with self._database.transaction() as session:
            notice = (await session.scalars(due)).first()
            if notice is not None:
                notice.due_at, notice.attempts = until, notice.attempts + 1
            return notice

    async def remove(self, notice: LogoutNotice) -> None:
        """Removes it, whoever has it now: it needs no other try."""
        await self._change(delete(LogoutNotice).where(col(LogoutNotice.id) == notice.id))

    async def postpone(self, notice: LogoutNotice, due_at: int) -> None:
        """Does nothing if the claim had run out, and another server has it."""
        mine = col(LogoutNotice.id) == notice.id, col(LogoutNotice.due_at) == notice.due_at
        await self._change(update(LogoutNotice).where(*mine).values(due_at=due_at))

    async def postpone_due(self, client_id: str, now: int, due_at: int) -> None:
        """Counts a try for each that is due."""
        due = _due(now), col(LogoutNotice.client_id) == client_id
        counted = {"due_at": due_at, "attempts": col(LogoutNotice.attempts) + 1}
        await self._change(update(LogoutNotice).where(*due).values(**counted))

    async def _change(self, statement: Any) -> None:
        async with self._database.transaction() as session:
            await session.execute(statement)


def _due(now: int) -> ColumnElement[bool]:
    return col(LogoutNotice.due_at) <= now
