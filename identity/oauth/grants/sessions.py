"""Sessions: what their access tokens say, and how they end.

A session is a family of refresh tokens and everything issued under its `grant_id`.
"""

from __future__ import annotations

from typing import Any

from identity.accounts.participants import EndedLogins
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent
from identity.oauth.assurance import acr_of
from identity.oauth.claims import OPENID_SCOPE, claims_for
from identity.oauth.presented_token import PresentedToken
from identity.oauth.registry import Person, ProtectedResource
from identity.oauth.scopes import ROLES_SCOPE
from identity.tokens.access_token import AccessTokenGrant
from identity.tokens.id_token import IdTokenGrant
from identity.tokens.refresh_token import Families, Family
from identity.verifier.profile import RuleKind


class Sessions:
    """Ends sessions. `ledger` orders the rule; the family goes with it."""

    def __init__(self, ledger: Ledger[Any], families: Families) -> None:
        self._ledger = ledger
        self._families = families

    async def end(self, event: AuditEvent, *, is_told: bool = False) -> None:
        """Ends the grant `event.grant_id`: when this returns, its refresh token is dead and the rule that refuses its access
        tokens is on its way to every verifier. Ending it again is harmless, and finishes what a failure left undone.

        `is_told`: its client did not ask for it, and hears of it (A58).
        """
        family = await self._families.read(event.grant_id) if is_told else None

        async def end(change: Any) -> bool:
            if await change.has_ended(RuleKind.GRANT, event.grant_id):
                return True
            change.revoke(Rule.ending(RuleKind.GRANT, event.grant_id))
            change.record(AuditEvent(**event.model_dump()))
            if family is not None and family.session_id:
                change.tell(EndedLogins(family.subject, family.session_id, family.client_id))
            return False

        if await self._ledger.perform(end):
            await self._families.end(event.grant_id)
            await self._ledger.catch_up()

    async def end_presented(self, token: PresentedToken, event: AuditEvent) -> None:
        """Ends the grant a token belongs to; a token that belongs to none is refused by its id."""
        if token.grant_id:
            await self.end(event)
            return

        async def refuse(change: Any) -> bool:
            # Once: a client that repeats itself would have everyone keep as many rules as it cares to send.
            if await change.is_revoked(token.token_id):
                return True
            change.revoke(Rule.revoking(RuleKind.TOKEN, token.token_id))
            change.record(AuditEvent(**event.model_dump()))
            return False

        if await self._ledger.perform(refuse):
            await self._ledger.catch_up()


def access_of(
    family: Family, scopes: tuple[str, ...], resource: ProtectedResource, person: Person, revision: int
) -> AccessTokenGrant:
    """Returns what an access token of this family says, at the login and at every refresh."""
    return AccessTokenGrant(
        subject=family.subject,
        client_id=family.client_id,
        audience=family.audience,
        token_type=resource.token_type,
        scopes=scopes,
        revision=revision,
        grant_id=family.family,
        auth_time=family.auth_time,
        authentication_methods=family.authentication_methods,
        roles=person.roles if ROLES_SCOPE in scopes else None,
        session_id=family.login,
        acr=acr_of(family.authentication_methods),
        userinfo_claims=family.userinfo_claims,
        algorithm=resource.signing_alg,
    )


def identity_of(
    family: Family, scopes: tuple[str, ...], person: Person, nonce: str | None = None
) -> IdTokenGrant | None:
    """Returns what an ID token of this family says, if the scopes ask for one (OpenID Connect Core section 3.1.3.3)."""
    if OPENID_SCOPE not in scopes:
        return None
    return IdTokenGrant(
        subject=family.subject,
        client_id=family.client_id,
        auth_time=family.auth_time,
        authentication_methods=family.authentication_methods,
        acr=acr_of(family.authentication_methods),
        session_id=family.session_id,
        nonce=nonce,
        claims=claims_for((), person.claims, family.id_token_claims),
    )
