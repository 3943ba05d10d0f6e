"""API keys: of people and of clients, for programs that nobody logs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from identity.accounts import names
from identity.administration.errors import AdministrationError
from identity.administration.roles import known_scopes
from identity.administration.transactions import operator_change
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import ApiKey, AuditEvent
from identity.oauth.scopes import SERVER_SCOPES
from identity.store.sql.change import SqlChange
from identity.tokens.api_key import new_key, write_key
from identity.verifier.profile import RuleKind

LONGEST_DAYS = 3650
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key to be made, for the person called `user` or for a client: one of the two. Without `resource` it is for the one that
    owns the scopes."""

    name: str
    user: str | None = None
    client_id: str | None = None
    scopes: Sequence[str] = ()
    resource: str | None = None
    expires_in_days: int | None = None


@dataclass(frozen=True, slots=True)
class ApiKeyEntry:
    """A key as an operator sees it: never its secret. `user` is the person's name; times are UTC."""

    key_id: str
    name: str
    user: str | None
    client_id: str | None
    resource: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose key it is to be, and what they may have now."""

    subject: str | None
    client_id: str | None
    username: str | None
    scopes: frozenset[str]


class ApiKeys:
    """What an operator can do with API keys."""

    def __init__(self, ledger: Ledger[SqlChange], actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    async def create(self, new: NewApiKey) -> tuple[ApiKeyEntry, str]:
        """Makes a key; returns it with its text, which is shown only now. Its scopes are some of its owner's."""
        _require_acceptable(new)
        credential = new_key()
        async with operator_change(self._ledger) as change:
            owner = await _owner(change, new)
            scopes = await known_scopes(change, new.scopes)
            if excess := sorted(set(scopes) - owner.scopes):
                raise AdministrationError(f"{new.user or new.client_id} may not have the scope {excess[0]!r}.")
            key = ApiKey(
                key_id=credential.key_id,
                secret_hash=credential.secret_hash.hex(),
                name=new.name,
                subject=owner.subject,
                client_id=owner.client_id,
                resource=await _resource(change, scopes, new.resource),
                scopes=scopes,
                revision=await change.revision(),
                expires_at=_end(new.expires_in_days),
            )
            # No notice: nobody remembers a key that was not there.
            change.registrations.add(key)
            self._record(change, "api_key.created", key)
            return _entry(key, owner.username), write_key(credential)

    async def list(self, user: str | None = None, client_id: str | None = None) -> list[ApiKeyEntry]:
        """Returns the keys, the oldest first, those that are over too: all, or those of one person or client."""
        async with operator_change(self._ledger) as change:
            people = {row.subject: row for row in await change.registrations.users()}
            keys = [(key, people.get(key.subject or "")) for key in await change.registrations.api_keys()]
        wanted = None if user is None else names.username_key(user)
        return [
            _entry(key, owner.username if owner else None)
            for key, owner in keys
            if (wanted is None or (owner is not None and owner.username_key == wanted))
            and (client_id is None or key.client_id == client_id)
        ]

    async def revoke(self, key_id: str) -> None:
        """Ends the key and every access token it was exchanged for. Ending it again is harmless."""
        async with operator_change(self._ledger) as change:
            key = await change.registrations.api_key(key_id)
            if key is None:
                raise AdministrationError(f"There is no API key {key_id!r}.")
            if key.revoked_at is None:
                change.revoke(Rule.ending(RuleKind.GRANT, key_id))
                self._record(change, "api_key.revoked", key)

    def _record(self, change: SqlChange, event: str, key: ApiKey) -> None:
        change.record(
            AuditEvent(
                event=event,
                actor=self._actor,
                subject=key.subject or "",
                client_id=key.client_id or "",
                grant_id=key.key_id,
                detail=key.name,
            )
        )


async def _owner(change: SqlChange, new: NewApiKey) -> _Owner:
    if new.user is not None:
        user = await change.registrations.user_by_name(names.username_key(new.user))
        if user is None or not user.is_enabled:
            raise AdministrationError(f"There is no person called {new.user!r} who may log in.")
        roles = await change.registrations.roles_of(user.subject)
        permitted = SERVER_SCOPES.union(*(role.scopes for role in roles))
        return _Owner(user.subject, None, user.username, permitted)
    client = await change.registrations.client(new.client_id or "")
    if client is None or not client.is_enabled:
        raise AdministrationError(f"There is no client {new.client_id!r} that is enabled.")
    # A service has no roles that its tokens could name.
    return _Owner(None, client.client_id, None, frozenset(client.scopes) - SERVER_SCOPES)


async def _resource(change: SqlChange, scopes: Sequence[str], name: str | None) -> str:
    resources = {row.name: row for row in await change.registrations.resources()}
    asked = set(scopes) - SERVER_SCOPES
    owners = [row.name for row in resources.values() if asked & set(row.scopes)]
    if name is None and not owners:
        raise AdministrationError("Name a resource, or a scope that belongs to one.")
    chosen = owners[0] if name is None else name
    if chosen not in resources:
        raise AdministrationError(f"There is no resource {chosen!r}.")
    if not asked <= set(resources[chosen].scopes):
        raise AdministrationError("An API key is for one resource, and these scopes belong to another or to several.")
    return chosen


def _end(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def _entry(key: ApiKey, username: str | None) -> ApiKeyEntry:
    return ApiKeyEntry(
        key_id=key.key_id,
        name=key.name,
        user=username,
        client_id=key.client_id,
        resource=key.resource,
        scopes=tuple(key.scopes),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
    )


def _require_acceptable(new: NewApiKey) -> None:
    if (new.user is None) == (new.client_id is None):
        raise AdministrationError("An API key belongs to a person or to a client: name one of the two.")
    if not new.name or len(new.name) > _MAX_NAME or not new.name.isprintable():
        raise AdministrationError(f"An API key's name has 1 to {_MAX_NAME} printable characters.")
    if new.expires_in_days is not None and not 1 <= new.expires_in_days <= LONGEST_DAYS:
        raise AdministrationError(f"An API key lives 1 to {LONGEST_DAYS} days, or until it is revoked.")
