"""UserInfo (OpenID Connect Core section 5.3): what a client may know of the person whose access token it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from identity.oauth.claims import claims_for
from identity.oauth.metadata import USERINFO_PATH
from identity.oauth.person_tokens import PersonTokens
from identity.oauth.requests import AccessRequest
from identity.verifier.profile import USERINFO_CLAIM


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Answers for the person of a token, by its scopes."""

    tokens: PersonTokens

    async def answer(self, access: AccessRequest) -> Mapping[str, object]:
        """Returns the claims, or raises what `PersonTokens` does."""
        claims, person = await self.tokens.read(access, USERINFO_PATH)
        single = claims.get(USERINFO_CLAIM, ())
        return {**claims_for(claims["scope"].split(), person.claims, single), "sub": person.subject}
