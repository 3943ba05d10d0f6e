"""Roles: named sets of scopes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from identity.administration.errors import AdministrationError
from identity.administration.transactions import operator_change
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent, Role
from identity.oauth.errors import InvalidScope
from identity.oauth.scopes import SERVER_SCOPES, parse_scope
from identity.store.sql.change import SqlChange
from identity.verifier.profile import RuleKind

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_MAX_DETAIL = 1024
"""Longer lists of scopes are cut off in the audit trail."""

_NAMED_PEOPLE = 100
"""Narrowing a role that more people have than this is told by scope, not by person."""


class Roles:
    """What an operator can do with roles."""

    def __init__(self, ledger: Ledger[SqlChange], actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    async def create(self, name: str, scopes: Sequence[str]) -> Role:
        """Creates a role that permits `scopes`, each owned by some resource."""
        async with operator_change(self._ledger) as change:
            if not _NAME.fullmatch(name):
                raise AdministrationError(
                    "A role's name has letters, digits, dots, dashes and underscores, at most 64."
                )
            if await change.registrations.role(name) is not None:
                raise AdministrationError(f"There is already a role called {name!r}.")
            role = Role(name=name, scopes=await known_scopes(change, scopes))
            change.registrations.add(role)
            change.record(AuditEvent(event="role.created", actor=self._actor, detail=name))
            return role

    async def list(self) -> Sequence[Role]:
        """Returns all roles, by name."""
        async with operator_change(self._ledger) as change:
            return await change.registrations.roles()

    async def set_scopes(self, name: str, scopes: Sequence[str]) -> None:
        """Changes what the role permits. Where that is less than before, access tokens issued so far to those who have the
        role are refused; their sessions go on and refresh with what is left."""
        async with operator_change(self._ledger) as change:
            role = await change.registrations.role(name)
            if role is None:
                raise AdministrationError(f"There is no role called {name!r}.")
            lost = set(role.scopes) - set(scopes)
            role.scopes = await known_scopes(change, scopes)
            change.revoke(*(await _narrowing_rules(change, name, lost)), Rule.changed(RuleKind.EVERYTHING))
            change.record(
                AuditEvent(event="role.changed", actor=self._actor, detail=f"{name}: {' '.join(scopes)}"[:_MAX_DETAIL])
            )


async def known_scopes(change: SqlChange, scopes: Sequence[str]) -> list[str]:
    """Returns `scopes`, sorted and each once; `AdministrationError` for one that no resource owns."""
    owned = {scope for row in await change.registrations.resources() for scope in row.scopes} | SERVER_SCOPES
    if unknown := sorted(set(well_formed_scopes(scopes)) - owned):
        raise AdministrationError(f"No resource owns the scope {unknown[0]!r}.")
    return sorted(set(scopes))


def well_formed_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Returns `scopes`; `AdministrationError` for one that is no scope (RFC 6749 section 3.3)."""
    try:
        # Each by itself: joined first, "a b" would pass as two scopes and be kept as one that no request can name.
        malformed = [scope for scope in scopes if parse_scope(scope) != (scope,)]
    except InvalidScope as error:
        raise AdministrationError(error.description) from None
    if malformed:
        raise AdministrationError(f"{malformed[0]!r} is not a scope.")
    return tuple(dict.fromkeys(scopes))


async def _narrowing_rules(change: SqlChange, name: str, lost: set[str]) -> list[Rule]:
    if not lost:
        return []
    people = await change.registrations.subjects_with_role(name)
    if len(people) <= _NAMED_PEOPLE:
        return [Rule.revoking(RuleKind.SUBJECT, subject) for subject in people]
    return [
        Rule.revoking(RuleKind.AUDIENCE_SCOPE, resource.identifier, scope)
        for resource in await change.registrations.resources()
        for scope in sorted(lost & set(resource.scopes))
    ]
