"""Signing out everywhere: a person ends every session they have, from an app of the operator's own (U07)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent
from identity.oauth.errors import InsufficientScope
from identity.oauth.metadata import LOGOUT_EVERYWHERE_PATH
from identity.oauth.person_tokens import PersonTokens
from identity.oauth.registry import Registry
from identity.oauth.requests import AccessRequest
from identity.verifier.profile import RuleKind


@dataclass(frozen=True, slots=True)
class LogoutEverywhere:
    """Ends what the person of an access token has: logins at browsers, sessions, tokens and API keys, by the one rule that an
    operator ends them with. Only for trusted clients: people are never asked whether any other may do this."""

    tokens: PersonTokens
    registry: Registry
    ledger: Ledger[Any]

    async def end(self, access: AccessRequest, address: str) -> None:
        """Ends everything, this token included, or raises what `PersonTokens` does."""
        claims, person = await self.tokens.read(access, LOGOUT_EVERYWHERE_PATH)
        client = await self.registry.client(claims["client_id"])
        if client is None or not client.is_enabled or not client.is_trusted:
            raise InsufficientScope("The client may not sign people out everywhere.", scheme=access.scheme)
        facts = {"subject": person.subject, "client_id": client.client_id, "address": address}

        async def end(change: Any) -> None:
            change.revoke(Rule.ending(RuleKind.SUBJECT, person.subject))
            change.record(AuditEvent.model_validate({"event": "logout.everywhere", **facts}))

        await self.ledger.perform(end)
