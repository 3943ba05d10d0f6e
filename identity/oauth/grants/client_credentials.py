"""The client credentials grant (RFC 6749 section 4.4): a service speaks for itself."""

from __future__ import annotations

from dataclasses import dataclass

from identity.oauth.errors import UnauthorizedClient
from identity.oauth.grants.pipeline import Asked, Authorization
from identity.oauth.registry import Registry
from identity.oauth.scopes import Granted, grant
from identity.tokens.access_token import AccessTokenGrant
from identity.verifier.profile import client_subject


@dataclass(frozen=True, slots=True)
class ClientCredentialsGrant:
    """Issues a token for the client itself: no refresh token, and a subject no person can have (A42)."""

    registry: Registry
    name: str = "client_credentials"

    async def prepare(self, asked: Asked) -> Granted:
        """Checks what the client asks for; a public client has not proved who it is."""
        if asked.client.is_public:
            raise UnauthorizedClient("A public client cannot use this grant type.")
        request = asked.request
        granted = grant(request.scopes, request.resources, asked.client, await self.registry.resources())
        return granted.without_offline(request.scopes)

    async def carry_out(self, asked: Asked, prepared: Granted) -> Authorization:
        """Changes nothing: the client is authenticated, and there is no session."""
        client_id = asked.client.client_id
        return Authorization(
            AccessTokenGrant(
                subject=client_subject(client_id),
                client_id=client_id,
                audience=prepared.resource.identifier,
                token_type=prepared.resource.token_type,
                algorithm=prepared.resource.signing_alg,
                scopes=prepared.scopes,
                revision=asked.revision,
            )
        )
