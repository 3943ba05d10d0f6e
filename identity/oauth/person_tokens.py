"""Access tokens that speak for a person, sent to this server itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from identity.oauth.claims import OPENID_SCOPE
from identity.oauth.errors import InsufficientScope, InvalidToken
from identity.oauth.live_tokens import LiveTokens
from identity.oauth.proofs import Proofs
from identity.oauth.registry import Person, Registry
from identity.oauth.requests import AccessRequest
from identity.verifier.profile import ACCESS_TOKEN_TYPE, LEGACY_TOKEN_TYPE


@dataclass(frozen=True, slots=True)
class PersonTokens:
    """Reads them. Any access token of ours with `openid` will do, whichever service it is for: the scope says that the person
    agreed."""

    tokens: LiveTokens
    registry: Registry
    proofs: Proofs

    async def read(self, access: AccessRequest, path: str) -> tuple[Mapping[str, Any], Person]:
        """Returns what the token says, and whose it is; raises `InvalidToken` or `InsufficientScope` (RFC 6750 section 3.1), or
        `InvalidProofOfToken`."""
        claims = await self.tokens.read(access.token, (ACCESS_TOKEN_TYPE, LEGACY_TOKEN_TYPE))
        if claims is None:
            raise over(access)
        await self.proofs.require_sender(claims, access, path)
        if OPENID_SCOPE not in claims.get("scope", "").split():
            raise InsufficientScope("The access token was not given the scope openid.", scheme=access.scheme)
        person = await self.registry.person(claims["sub"])
        if person is None or not person.is_enabled:
            raise over(access, "disabled")
        return claims, person


def over(access: AccessRequest, detail: str = "") -> InvalidToken:
    """Returns the refusal of a token that was good once, or never."""
    description = "The access token is invalid, expired or revoked."
    return InvalidToken(description, detail=detail, scheme=access.scheme)
