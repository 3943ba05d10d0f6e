"""People: create, list, disable, give and take roles, set passwords."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from identity.accounts import names, passwords
from identity.accounts.passwords import Passwords
from identity.administration.errors import AdministrationError
from identity.administration.transactions import operator_change
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent, User, UserRole
from identity.store.sql.change import SqlChange
from identity.verifier.profile import RuleKind


@dataclass(frozen=True, slots=True)
class PersonEntry:
    """A person as an operator sees them."""

    subject: str
    username: str
    is_enabled: bool
    roles: tuple[str, ...]


class People:
    """What an operator can do with people."""

    def __init__(self, ledger: Ledger[SqlChange], hasher: Passwords, actor: str) -> None:
        self._ledger = ledger
        self._passwords = hasher
        self._actor = actor

    async def create(self, username: str, password: str, roles: Sequence[str] = ()) -> PersonEntry:
        """Creates a person; the subject is random, so it is never given to anyone else (U14)."""
        _require_acceptable(username, password)
        password_hash = await self._passwords.hash(password)
        async with operator_change(self._ledger) as change:
            await _require_roles(change, roles)
            key = names.username_key(username)
            if await change.registrations.user_by_name(key) is not None:
                raise AdministrationError(f"There is already a person called {username!r}, or one who looks the same.")
            user = User(
                subject=secrets.token_hex(13),
                username=username,
                username_key=key,
                password_hash=password_hash,
            )
            change.registrations.add(user)
            await change.registrations.flush()
            change.registrations.add(*(UserRole(subject=user.subject, role=role) for role in roles))
            self._record(change, "user.created", user)
            return PersonEntry(user.subject, username, True, tuple(sorted(roles)))

    async def list(self) -> list[PersonEntry]:
        """Returns everyone, by name."""
        async with operator_change(self._ledger) as change:
            return [await _entry(change, user) for user in await change.registrations.users()]

    async def disable(self, username: str) -> None:
        """Ends everything the person has, and lets them in no more."""
        async with operator_change(self._ledger) as change:
            user = await _find(change, username)
            user.is_enabled = False
            change.revoke(Rule.ending(RuleKind.SUBJECT, user.subject))
            self._record(change, "user.disabled", user)

    async def enable(self, username: str) -> None:
        """Lets the person in again; what was ended stays ended."""
        async with operator_change(self._ledger) as change:
            user = await _find(change, username)
            user.is_enabled = True
            change.revoke(Rule.changed(RuleKind.SUBJECT, user.subject))
            self._record(change, "user.enabled", user)

    async def set_password(self, username: str, password: str) -> None:
        """Sets a password and ends every session that began with another one (A48)."""
        _require_acceptable(username, password)
        password_hash = await self._passwords.hash(password)
        async with operator_change(self._ledger) as change:
            user = await _find(change, username)
            user.password_hash = password_hash
            change.revoke(Rule.ending(RuleKind.SUBJECT, user.subject))
            self._record(change, "user.password_set", user)

    async def end_sessions(self, username: str) -> None:
        """Ends every session and every access token of the person."""
        async with operator_change(self._ledger) as change:
            user = await _find(change, username)
            change.revoke(Rule.ending(RuleKind.SUBJECT, user.subject))
            self._record(change, "user.sessions_ended", user)

    async def give_role(self, username: str, role: str) -> None:
        """Gives a role; the next refresh can have its scopes."""
        async with operator_change(self._ledger) as change:
            user = await _find(change, username)
            await _require_roles(change, [role])
            if role in (await _entry(change, user)).roles:
                raise AdministrationError(f"{username} already has the role {role}.")
            change.registrations.add(UserRole(subject=user.subject, role=role))
            change.revoke(Rule.changed(RuleKind.SUBJECT, user.subject))
            self._record(change, "user.role_given", user, role)

    async def take_role(self, username: str, role: str) -> None:
        """Takes a role. Access tokens issued so far are refused; sessions go on and refresh with what is left."""
        async with operator_change(self._ledger) as change:
            user = await _find(change, username)
            if not await change.registrations.take_role(user.subject, role):
                raise AdministrationError(f"{username} does not have the role {role}.")
            change.revoke(Rule.revoking(RuleKind.SUBJECT, user.subject))
            self._record(change, "user.role_taken", user, role)

    def _record(self, change: SqlChange, event: str, user: User, detail: str = "") -> None:
        change.record(AuditEvent(event=event, actor=self._actor, subject=user.subject, detail=detail))


async def _find(change: SqlChange, username: str) -> User:
    user = await change.registrations.user_by_name(names.username_key(username))
    if user is None:
        raise AdministrationError(f"There is no person called {username!r}.")
    return user


async def _entry(change: SqlChange, user: User) -> PersonEntry:
    roles = await change.registrations.roles_of(user.subject)
    return PersonEntry(user.subject, user.username, user.is_enabled, tuple(role.name for role in roles))


async def _require_roles(change: SqlChange, roles: Sequence[str]) -> None:
    for role in roles:
        if await change.registrations.role(role) is None:
            raise AdministrationError(f"There is no role called {role!r}.")


def _require_acceptable(username: str, password: str) -> None:
    if not names.is_acceptable(username):
        raise AdministrationError("A username has 1 to 255 printable characters, no colon, and no space at either end.")
    if not passwords.is_acceptable(password):
        raise AdministrationError(
            f"A password has {passwords.MIN_CHARACTERS} to {passwords.MAX_CHARACTERS} characters."
        )
