"""What people allow clients: written down when they say so, and then true at every server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from identity.feed.follower import Follower
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent, Consent
from identity.verifier.profile import RuleKind


@dataclass(frozen=True, slots=True)
class ConsentRecords:
    """Records consents. A change of a person, so every server forgets what it knew of them, this one before `grant` returns."""

    ledger: Ledger[Any]
    follower: Follower

    async def grant(self, subject: str, client_id: str, scopes: Iterable[str], address: str) -> None:
        """Adds to what the person allowed the client."""
        async with self.ledger.change() as change:
            consent = await change.registrations.consent(subject, client_id)
            known = consent.scopes if consent else []
            if consent is None:
                consent = Consent(subject=subject, client_id=client_id, revision=await change.revision())
                change.registrations.add(consent)
            consent.scopes = sorted({*known, *scopes})
            consent.granted_at = datetime.now(UTC)
            change.revoke(Rule.changed(RuleKind.SUBJECT, subject))
            event = AuditEvent(event="consent.granted", actor=subject, subject=subject, client_id=client_id)
            event.address = address
            change.record(event)
        await self.follower.up_to_date()
