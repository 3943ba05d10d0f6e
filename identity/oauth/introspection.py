"""Token introspection (RFC 7662): a resource asks whether an access token is good, as this server knows it now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.errors import InvalidRequest
from identity.oauth.live_tokens import LiveTokens
from identity.oauth.requests import IntrospectionRequest
from identity.verifier.profile import ACCESS_TOKEN_TYPE


@dataclass(frozen=True, slots=True)
class Introspection:
    """Tells a resource about tokens that are for itself, and nothing about others (A56). A refresh token is for this server,
    so it is not active for any resource."""

    authentication: ClientAuthentication
    tokens: LiveTokens

    async def introspect(self, request: IntrospectionRequest) -> Mapping[str, Any] | None:
        """Returns the claims of an active token; None for one that is unknown, expired, revoked or for somebody else.

        Raises `InvalidClient` for who is no resource, and `StoreUnavailableError` while this process may have missed a rule.
        """
        resource = await self.authentication.resource(request.credentials)
        if not request.token:
            raise InvalidRequest("The parameter token is required.")
        types = (ACCESS_TOKEN_TYPE, resource.token_type)
        return await self.tokens.read(request.token, types, resource.identifier)
