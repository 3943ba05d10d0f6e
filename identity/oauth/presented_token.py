"""What is a token that somebody presents to have it ended: a refresh token of ours, an access token of ours, or neither?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt
from jwt import PyJWK

from identity.keyring.live import LiveKeys
from identity.tokens.refresh_token import Families, read_token
from identity.verifier import profile


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """An authentic token. `client_id` is None for a refresh token whose family Redis has lost."""

    client_id: str | None
    subject: str
    grant_id: str
    token_id: str


@dataclass(frozen=True, slots=True)
class TokenReader:
    """Reads tokens this server issued. It does not say that they are good for anything: they may be ended already."""

    families: Families
    keys: LiveKeys
    issuer: str

    async def read(self, token: str) -> PresentedToken | None:
        """Returns what an authentic, unexpired token says; None for anything else."""
        generation = read_token(self.keys.now.authenticator, token)
        if generation is None:
            return self._read_access_token(token)
        # A family that Redis has lost may still have living access tokens, so its token is still worth ending.
        family = await self.families.read(generation.family)
        client_id, subject = (family.client_id, family.subject) if family else (None, "")
        return PresentedToken(client_id, subject, generation.family, "")

    def _read_access_token(self, token: str) -> PresentedToken | None:
        if len(token) > profile.MAX_TOKEN_BYTES:
            return None
        try:
            key = self.keys.now.public_keys.get(str(jwt.get_unverified_header(token).get("kid")))
            claims = _decode(token, key, self.issuer) if key else None
        except jwt.PyJWTError:
            return None
        if claims is None:
            return None
        grant_id = str(claims.get(profile.GRANT_CLAIM, ""))
        return PresentedToken(str(claims["client_id"]), str(claims["sub"]), grant_id, str(claims["jti"]))


def _decode(token: str, key: PyJWK, issuer: str) -> dict[str, Any]:
    options: Any = {"require": ["exp", "sub", "jti", "client_id"], "verify_aud": False}
    leeway = profile.LARGEST_LEEWAY  # A token that any verifier may still accept is worth ending.
    return jwt.decode(token, key, algorithms=[key.algorithm_name], issuer=issuer, leeway=leeway, options=options)
