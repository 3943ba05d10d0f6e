"""UserInfo (OpenID Connect Core section 5.3): what a client may know of the person whose access token it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from identity.oauth.claims import OPENID_SCOPE, claims_for
from identity.oauth.errors import InsufficientScope, InvalidToken
from identity.oauth.live_tokens import LiveTokens
from identity.oauth.metadata import USERINFO_PATH
from identity.oauth.proofs import Proofs
from identity.oauth.registry import Registry
from identity.oauth.requests import AccessRequest
from identity.verifier.profile import ACCESS_TOKEN_TYPE, LEGACY_TOKEN_TYPE, USERINFO_CLAIM


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Answers for the person of a token, by its scopes. Any access token of ours with `openid` will do, whichever service it is
    for: the scope says that the person agreed."""

    tokens: LiveTokens
    registry: Registry
    proofs: Proofs

    async def answer(self, access: AccessRequest) -> Mapping[str, object]:
        """Returns the claims, or raises `InvalidToken` or `InsufficientScope` (RFC 6750 section 3.1)."""
        claims = await self.tokens.read(access.token, (ACCESS_TOKEN_TYPE, LEGACY_TOKEN_TYPE))
        if claims is None:
            raise _over(access)
        await self.proofs.require_sender(claims, access, USERINFO_PATH)
        scopes = claims.get("scope", "").split()
        if OPENID_SCOPE not in scopes:
            raise InsufficientScope("The access token was not given the scope openid.", scheme=access.scheme)
        person = await self.registry.person(claims["sub"])
        if person is None or not person.is_enabled:
            raise _over(access, "disabled")
        single = claims.get(USERINFO_CLAIM, ())
        return {**claims_for(scopes, person.claims, single), "sub": person.subject}


def _over(access: AccessRequest, detail: str = "") -> InvalidToken:
    description = "The access token is invalid, expired or revoked."
    return InvalidToken(description, detail=detail, scheme=access.scheme)
