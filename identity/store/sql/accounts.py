"""Accounts as a login needs them."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import col, select

from identity.accounts.login import Account
from identity.models import User
from identity.store.sql.engine import Database


class SqlAccounts:
    """Implements `accounts.login.Accounts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_name(self, key: str) -> Account | None:
        """Returns the account with this normalised name."""
        query = select(User.subject, User.password_hash, User.is_enabled).where(User.username_key == key)
        async with self._database.read() as session:
            row = (await session.execute(query)).first()
        return None if row is None else Account(*row)

    async def store_hash(self, subject: str, old: str, new: str) -> None:
        """Replaces a password hash if it is still `old`."""
        same = (col(User.subject) == subject, col(User.password_hash) == old)
        async with self._database.transaction() as session:
            await session.execute(update(User).where(*same).values(password_hash=new))
