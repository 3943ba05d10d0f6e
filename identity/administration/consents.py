"""Consents: what people allowed clients."""

from __future__ import annotations

from collections.abc import Sequence

from identity.accounts.names import username_key
from identity.administration.errors import AdministrationError
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent, Consent
from identity.store.sql.change import SqlChange
from identity.verifier.profile import RuleKind


class Consents:
    """Shows consents, and takes them back (A65)."""

    def __init__(self, ledger: Ledger[SqlChange], actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    async def of(self, username: str) -> Sequence[Consent]:
        """Returns what this person allowed."""
        async with self._ledger.change() as change:
            user = await change.registrations.user_by_name(username_key(username))
            if user is None:
                raise AdministrationError("There is no such person.")
            return await change.registrations.consents_of(user.subject)

    async def withdraw(self, username: str, client_id: str) -> None:
        """Takes back what this person allowed the client. Its refresh tokens are good for nothing any more; the person's access
        tokens are all refused, and those of other clients renewed at their next refresh, which nobody notices."""
        async with self._ledger.change() as change:
            user = await change.registrations.user_by_name(username_key(username))
            consent = await change.registrations.consent(user.subject, client_id) if user else None
            if user is None or consent is None:
                raise AdministrationError("This person allowed that client nothing.")
            await change.registrations.remove(consent)
            change.revoke(Rule.revoking(RuleKind.SUBJECT, user.subject))
            event = "consent.withdrawn"
            change.record(AuditEvent(event=event, actor=self._actor, subject=user.subject, client_id=client_id))
