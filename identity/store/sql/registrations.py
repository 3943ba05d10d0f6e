"""Queries over people, clients, resources, roles and API keys, inside a session that the caller opened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import delete, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped
from sqlmodel import SQLModel, col, select

from identity.models import ApiKey, Client, Consent, InitialAccessToken, Resource, Role, User, UserRole
from identity.verifier.profile import RuleKind

_OPERATORS = 7_203_114_586
"""Arbitrary, but the same everywhere: the PostgreSQL advisory lock that lets one operator change at a time."""

_KEYS_OF: Final[dict[str, Mapped[Any]]] = {
    RuleKind.GRANT: col(ApiKey.key_id),
    RuleKind.SUBJECT: col(ApiKey.subject),
    RuleKind.CLIENT: col(ApiKey.client_id),
}
"""Where an API key says what a rule of each kind names."""


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

    async def consent(self, subject: str, client_id: str) -> Consent | None:
        """Returns what this person allowed this client."""
        return await self._session.get(Consent, (subject, client_id))

    async def consents_of(self, subject: str) -> Sequence[Consent]:
        """Returns what a person allowed, by client."""
        query = select(Consent).where(Consent.subject == subject).order_by(col(Consent.client_id))
        return (await self._session.scalars(query)).all()

    async def remove(self, row: SQLModel) -> None:
        """Removes a row."""
        await self._session.delete(row)

    async def client(self, client_id: str) -> Client | None:
        """Returns the client with this id."""
        return await self._session.get(Client, client_id)

    async def clients_named(self, client_ids: Sequence[str]) -> Sequence[Client]:
        """Returns those clients that there are."""
        return (await self._session.scalars(select(Client).where(col(Client.client_id).in_(client_ids)))).all()

    async def clients(self) -> Sequence[Client]:
        """Returns all clients, by id."""
        return (await self._session.scalars(select(Client).order_by(col(Client.client_id)))).all()

    async def pairwise_client(self) -> str | None:
        """Returns the id of some client that knows people by pairwise names."""
        query = select(Client.client_id).where(Client.subject_type == "pairwise").limit(1)
        return (await self._session.scalars(query)).first()

    async def live_invitation(self, token_hash: str) -> InitialAccessToken | None:
        """Returns the initial access token with this hash, unless it is used up or expired."""
        query = select(InitialAccessToken).where(InitialAccessToken.token_hash == token_hash, *_is_live())
        return (await self._session.scalars(query)).first()

    async def take_invitation(self, token_hash: str) -> str | None:
        """Takes one use of an initial access token, in one statement: of several who take the last one, one gets its name,
        and the others None."""
        query = (
            update(InitialAccessToken)
            .where(col(InitialAccessToken.token_hash) == token_hash, *_is_live())
            .values(uses_left=InitialAccessToken.uses_left - 1)
            .returning(col(InitialAccessToken.name))
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(query)).first()

    async def invitations(self) -> Sequence[InitialAccessToken]:
        """Returns all initial access tokens, the oldest first."""
        order = (col(InitialAccessToken.created_at), col(InitialAccessToken.name))
        return (await self._session.scalars(select(InitialAccessToken).order_by(*order))).all()

    async def invitation(self, name: str) -> InitialAccessToken | None:
        """Returns the initial access token with this name."""
        return (await self._session.scalars(select(InitialAccessToken).where(InitialAccessToken.name == name))).first()

    async def resource(self, name: str) -> Resource | None:
        """Returns the resource with this name."""
        return await self._session.get(Resource, name)

    async def resources(self) -> Sequence[Resource]:
        """Returns all resources, by name."""
        return (await self._session.scalars(select(Resource).order_by(col(Resource.name)))).all()

    async def api_key(self, key_id: str) -> ApiKey | None:
        """Returns the API key with this id."""
        return await self._session.get(ApiKey, key_id)

    async def api_keys_named(self, key_ids: Sequence[str]) -> Sequence[ApiKey]:
        """Returns those API keys that there are."""
        return (await self._session.scalars(select(ApiKey).where(col(ApiKey.key_id).in_(key_ids)))).all()

    async def api_keys(self) -> Sequence[ApiKey]:
        """Returns all API keys, the oldest first."""
        return (await self._session.scalars(select(ApiKey).order_by(col(ApiKey.created_at), col(ApiKey.key_id)))).all()

    async def end_api_keys(self, kind: str, *values: str) -> None:
        """Revokes for good the API keys that a rule of this kind about `values` ends."""
        query = select(ApiKey).where(col(ApiKey.revoked_at).is_(None))
        if kind != RuleKind.EVERYTHING:
            if (column := _KEYS_OF.get(kind)) is None:
                return
            query = query.where(column == values[0])
        # Locked in the order in which last uses are written, so that the two never wait for each other.
        for key in await self._session.scalars(query.order_by(col(ApiKey.key_id)).with_for_update()):
            key.revoked_at = datetime.now(UTC)

    async def demo_rows(self) -> list[str]:
        """Returns the names of the demo people, clients and resources, which `serve` refuses to run with."""
        users = (await self._session.scalars(select(User.username).where(col(User.is_demo)))).all()
        clients = (await self._session.scalars(select(Client.client_id).where(col(Client.is_demo)))).all()
        resources = (await self._session.scalars(select(Resource.name).where(col(Resource.is_demo)))).all()
        return [*users, *clients, *resources]


def _is_live() -> tuple[Any, Any]:
    return col(InitialAccessToken.uses_left) > 0, col(InitialAccessToken.expires_at) > datetime.now(UTC)
