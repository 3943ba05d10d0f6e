"""Queries over people, clients, resources and roles, inside a session that the caller opened."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col, select

from identity.models import Client, Resource, Role, User, UserRole

_OPERATORS = 7_203_114_586
"""Arbitrary, but the same everywhere: the PostgreSQL advisory lock that lets one operator change at a time."""


class Registrations:
    """Finds and stores what is registered; committing is the caller's business."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def hold_still(self) -> None:
        """Waits until no other transaction that called this is open. A SQLite transaction is alone anyway."""
        if self._session.get_bind().dialect.name == "postgresql":
            await self._session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _OPERATORS})

    def add(self, *rows: SQLModel) -> None:
        """Stores new rows."""
        self._session.add_all(rows)

    async def flush(self) -> None:
        """Sends what was added, so that rows which refer to it can follow."""
        await self._session.flush()

    async def user(self, subject: str) -> User | None:
        """Returns the person with this subject."""
        return await self._session.get(User, subject)

    async def user_by_name(self, username_key: str) -> User | None:
        """Returns the person with this normalised name."""
        query = select(User).where(User.username_key == username_key)
        return (await self._session.scalars(query)).first()

    async def users(self) -> Sequence[User]:
        """Returns all people, by name."""
        return (await self._session.scalars(select(User).order_by(col(User.username_key)))).all()

    async def roles_of(self, subject: str) -> Sequence[Role]:
        """Returns a person's roles, by name."""
        query = (
            select(Role)
            .join(UserRole, col(UserRole.role) == col(Role.name))
            .where(UserRole.subject == subject)
            .order_by(col(Role.name))
        )
        return (await self._session.scalars(query)).all()

    async def subjects_with_role(self, role: str) -> Sequence[str]:
        """Returns the subjects of everyone who has this role."""
        return (await self._session.scalars(select(UserRole.subject).where(UserRole.role == role))).all()

    async def take_role(self, subject: str, role: str) -> bool:
        """Removes a role from a person; False if they did not have it."""
        query = delete(UserRole).where(col(UserRole.subject) == subject, col(UserRole.role) == role)
        return bool(getattr(await self._session.execute(query), "rowcount", 0))

    async def role(self, name: str) -> Role | None:
        """Returns the role with this name."""
        return await self._session.get(Role, name)

    async def roles(self) -> Sequence[Role]:
        """Returns all roles, by name."""
        return (await self._session.scalars(select(Role).order_by(col(Role.name)))).all()

    async def client(self, client_id: str) -> Client | None:
        """Returns the client with this id."""
        return await self._session.get(Client, client_id)

    async def clients(self) -> Sequence[Client]:
        """Returns all clients, by id."""
        return (await self._session.scalars(select(Client).order_by(col(Client.client_id)))).all()

    async def resource(self, name: str) -> Resource | None:
        """Returns the resource with this name."""
        return await self._session.get(Resource, name)

    async def resources(self) -> Sequence[Resource]:
        """Returns all resources, by name."""
        return (await self._session.scalars(select(Resource).order_by(col(Resource.name)))).all()

    async def demo_rows(self) -> list[str]:
        """Returns the names of the demo people, clients and resources, which `serve` refuses to run with."""
        users = (await self._session.scalars(select(User.username).where(col(User.is_demo)))).all()
        clients = (await self._session.scalars(select(Client.client_id).where(col(Client.is_demo)))).all()
        resources = (await self._session.scalars(select(Resource.name).where(col(Resource.is_demo)))).all()
        return [*users, *clients, *resources]
