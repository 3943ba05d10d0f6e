"""Initial access tokens: they invite clients to register themselves, so often and within such bounds (RFC 7591 section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from identity.administration.errors import AdministrationError
from identity.administration.roles import known_scopes
from identity.administration.transactions import operator_change
from identity.feed.ledger import Ledger
from identity.models import AuditEvent, InitialAccessToken
from identity.oauth.client_authentication import hash_secret, new_secret
from identity.oauth.registration.policy import RegistrationPolicy
from identity.store.sql.change import SqlChange

_MOST_USES = 1_000_000
_LONGEST = timedelta(days=366)
_MAX_NAME = 255


class Invitations:
    """What an operator can do with initial access tokens."""

    def __init__(self, ledger: Ledger[SqlChange], actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    async def invite(self, name: str, uses: int, lifetime: timedelta, policy: RegistrationPolicy | None = None) -> str:
        """Returns a new token of 256 random bits, shown only now, with which so many clients can be registered."""
        policy = policy or RegistrationPolicy()
        _require_sense(name, uses, lifetime, policy)
        token = new_secret()
        async with operator_change(self._ledger) as change:
            if await change.registrations.invitation(name) is not None:
                raise AdministrationError(f"There is already an invitation called {name!r}.")
            # `offline_access` and its like may be named before a server knows them; a client gets what there is.
            await known_scopes(change, sorted(policy.scopes - RegistrationPolicy().scopes))
            change.registrations.add(
                InitialAccessToken(
                    token_hash=hash_secret(token).hex(),
                    name=name,
                    policy=policy.written(),
                    uses_left=uses,
                    expires_at=datetime.now(UTC) + lifetime,
                )
            )
            self._record(change, "client.invited", name)
        return token

    async def list(self) -> Sequence[InitialAccessToken]:
        """Returns all, the oldest first; those that are used up or expired too."""
        async with operator_change(self._ledger) as change:
            return await change.registrations.invitations()

    async def withdraw(self, name: str) -> None:
        """Lets nobody else in; clients that were registered stay."""
        async with operator_change(self._ledger) as change:
            row = await change.registrations.invitation(name)
            if row is None:
                raise AdministrationError(f"There is no invitation called {name!r}.")
            await change.registrations.remove(row)
            self._record(change, "client.invitation_withdrawn", name)

    def _record(self, change: SqlChange, event: str, name: str) -> None:
        change.record(AuditEvent(event=event, actor=self._actor, detail=name))


def _require_sense(name: str, uses: int, lifetime: timedelta, policy: RegistrationPolicy) -> None:
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise AdministrationError(f"An invitation's name has 1 to {_MAX_NAME} printable characters.")
    if not 0 < uses <= _MOST_USES:
        raise AdministrationError(f"An invitation is for 1 to {_MOST_USES} clients.")
    if not timedelta() < lifetime <= _LONGEST:
        raise AdministrationError(f"An invitation is good for at most {_LONGEST.days} days.")
    if problem := policy.problem:
        raise AdministrationError(problem)
