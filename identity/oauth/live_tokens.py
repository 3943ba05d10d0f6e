"""Is an access token of ours good now? As this server knows it, which verifiers will know within their bound."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jwt

from identity.feed.follower import Follower
from identity.feed.picture import Picture
from identity.feed.rules import known_digest, token_digests
from identity.keyring.live import LiveKeys
from identity.verifier import profile

_REQUIRED = [*profile.REQUIRED_CLAIMS, profile.REVISION_CLAIM]
_BEFORE_ALL = -1
"""Below the number of every rule."""


@dataclass(frozen=True, slots=True)
class LiveTokens:
    """Reads access tokens from memory: the keys, and the picture of the feed. Redis is asked for its head alone, SQL for
    nothing, so it may be asked often."""

    follower: Follower
    keys: LiveKeys
    issuer: str

    async def read(self, token: str, types: Collection[str], audience: str | None = None) -> dict[str, Any] | None:
        """Returns the claims of an active token of one of these `typ`, for this audience or, with None, for any; None for one
        that is not, whatever the reason. Raises `StoreUnavailableError` while this process may have missed a rule."""
        picture = await self.follower.up_to_date()
        claims = self._read(token, types, audience, picture)
        if claims is None or not isinstance(claims["aud"], str):
            return None
        is_revoked = picture.revokes(claims[profile.REVISION_CLAIM], token_digests(claims, claims["aud"]))
        return None if is_revoked else claims

    def _read(
        self, token: str, types: Collection[str], audience: str | None, picture: Picture
    ) -> dict[str, Any] | None:
        """Returns the claims of an access token of ours, signed with a key that is published, not withdrawn."""
        if len(token) > profile.MAX_TOKEN_BYTES:
            return None
        try:
            header = jwt.get_unverified_header(token)
            kid = str(header.get("kid"))
            key = self.keys.now.public_keys.get(kid)
            if key is None or header.get("typ") not in types:
                return None
            if picture.revokes(_BEFORE_ALL, (known_digest(profile.RuleKind.KEY, kid),)):
                return None  # whatever `rev` it has: whoever stole the key chose that
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                audience=audience,
                # A replica whose clock is a second ahead minted it: that makes no token wrong (`verify_iat`).
                options={"require": _REQUIRED, "verify_iat": False, "verify_aud": audience is not None},
            )
        except jwt.PyJWTError:
            return None
