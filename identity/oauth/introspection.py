"""Token introspection (RFC 7662): a resource asks whether an access token is good, as this server knows it now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from identity.feed.follower import Follower
from identity.feed.picture import Picture
from identity.feed.rules import known_digest, token_digests
from identity.keyring.live import LiveKeys
from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.errors import InvalidRequest
from identity.oauth.registry import ProtectedResource
from identity.oauth.requests import IntrospectionRequest
from identity.verifier import profile

_REQUIRED = [*profile.REQUIRED_CLAIMS, profile.REVISION_CLAIM]
_BEFORE_ALL = -1
"""Below the number of every rule."""


@dataclass(frozen=True, slots=True)
class Introspection:
    """Answers from memory: the keys, and the picture of the feed. Redis is asked for its head alone, SQL for nothing, so it
    may be asked often.

    A resource learns about tokens that are for itself, and nothing about others (A56). A refresh token is for this server,
    so it is not active for any resource.
    """

    authentication: ClientAuthentication
    follower: Follower
    keys: LiveKeys
    issuer: str

    async def introspect(self, request: IntrospectionRequest) -> Mapping[str, Any] | None:
        """Returns the claims of an active token; None for one that is unknown, expired, revoked or for somebody else.

        Raises `InvalidClient` for who is no resource, and `StoreUnavailableError` while this process may have missed a rule.
        """
        resource = await self.authentication.resource(request.credentials)
        if not request.token:
            raise InvalidRequest("The parameter token is required.")
        picture = await self.follower.up_to_date()
        claims = self._read(request.token, resource, picture)
        if claims is None:
            return None
        is_revoked = picture.revokes(claims[profile.REVISION_CLAIM], token_digests(claims, resource.identifier))
        return None if is_revoked else claims

    def _read(self, token: str, resource: ProtectedResource, picture: Picture) -> dict[str, Any] | None:
        """Returns the claims of an access token of ours for `resource`, signed with a key that is published, not withdrawn."""
        if len(token) > profile.MAX_TOKEN_BYTES:
            return None
        try:
            header = jwt.get_unverified_header(token)
            kid = str(header.get("kid"))
            key = self.keys.now.public_keys.get(kid)
            if key is None or header.get("typ") not in (profile.ACCESS_TOKEN_TYPE, resource.token_type):
                return None
            if picture.revokes(_BEFORE_ALL, (known_digest(profile.RuleKind.KEY, kid),)):
                return None  # whatever `rev` it has: whoever stole the key chose that
            return jwt.decode(
                token,
                key,
                algorithms=[profile.ALGORITHM],
                issuer=self.issuer,
                audience=resource.identifier,
                # A replica whose clock is a second ahead minted it: that makes no token wrong (`verify_iat`).
                options={"require": _REQUIRED, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return None
