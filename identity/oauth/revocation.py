"""Token revocation (RFC 7009): a client ends what it was given. Logging out is revoking the refresh token."""

from __future__ import annotations

from dataclasses import dataclass

from identity.models import AuditEvent
from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.errors import InvalidGrant, InvalidRequest
from identity.oauth.grants.sessions import Sessions
from identity.oauth.presented_token import TokenReader
from identity.oauth.requests import RevocationRequest


@dataclass(frozen=True, slots=True)
class Revocation:
    """Ends the grant of the token that is presented, whichever kind it is; a token without a grant is refused by its id.

    Success means that the rule is committed and on its way; a store that fails is an error, never a false success (A55).
    """

    authentication: ClientAuthentication
    sessions: Sessions
    tokens: TokenReader

    async def revoke(self, request: RevocationRequest) -> None:
        """Revokes the token. An unknown, malformed or expired one is none of our business any more, which is a success; one
        of another client is refused."""
        client = await self.authentication.client(request.credentials)
        if not request.token:
            raise InvalidRequest("The parameter token is required.")
        presented = await self.tokens.read(request.token)
        if presented is None:
            return
        if presented.client_id not in (None, client.client_id):
            raise InvalidGrant("The token was issued to another client.", detail="foreign token")
        event = AuditEvent(
            event="token.revoked",
            actor=client.client_id,
            subject=presented.subject,
            client_id=client.client_id,
            grant_id=presented.grant_id,
            address=request.address,
        )
        await self.sessions.end_presented(presented, event)
