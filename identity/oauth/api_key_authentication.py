"""Whose API key is this? One answer for one that is malformed, unknown or wrong: `invalid_grant` (A35).

Nothing counts the attempts. A secret of 256 bits is not found by trying, whatever the rate; a key with a typing error fails its
checksum and costs no store anything; and counting by address would let anyone who sends invented keys through a service have
that service's good keys refused, because the service exchanges them all from its one address.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from identity.oauth.errors import InvalidGrant, InvalidRequest
from identity.oauth.registry import RegisteredApiKey, RegisteredClient, Registry
from identity.oauth.requests import TokenRequest
from identity.tokens.api_key import read_key
from identity.verifier.profile import API_KEY_CLIENT, API_KEY_GRANT

_PERSONAL: Final = RegisteredClient(
    client_id=API_KEY_CLIENT,
    secret_hashes=(),
    grant_types=frozenset(),
    redirect_uris=(),
    post_logout_redirect_uris=(),
    scopes=frozenset(),
    default_resource=None,
    rotates_refresh_tokens=False,
    is_enabled=True,
    is_trusted=True,
    name="",
)
"""What stands for the client where a person's key is presented: no client of anybody's."""


@dataclass(frozen=True, slots=True)
class ApiKeyAuthentication:
    """Authenticates API keys. It does not say that they are good for anything: they may be revoked or expired."""

    registry: Registry

    async def authenticate(self, request: TokenRequest) -> tuple[RegisteredApiKey, RegisteredClient]:
        """Returns the key and the client it speaks through, which has the scopes and the grant of this key and no other."""
        key = await self._key(request)
        owner = _PERSONAL if key.client_id is None else await self.registry.client(key.client_id)
        if owner is None:
            raise refused_key("the client is gone")
        scopes = key.scopes if owner is _PERSONAL else key.scopes & owner.scopes
        grant_types = frozenset({API_KEY_GRANT})
        return key, replace(owner, scopes=scopes, grant_types=grant_types, default_resource=key.resource)

    async def _key(self, request: TokenRequest) -> RegisteredApiKey:
        if request.credentials.client_id is not None:
            # RFC 6749 section 2.3: one credential for each request, or it is unclear whose the answer is (A30).
            raise InvalidRequest("The API key is the only credential of this grant; name no client.")
        if request.api_key is None:
            raise InvalidRequest("The parameter api_key is required.")
        presented = read_key(request.api_key)
        key = await self.registry.api_key(presented.key_id, presented.secret_hash) if presented else None
        if key is None:
            raise refused_key("malformed, unknown or wrong")
        return key


def refused_key(detail: str, subject: str = "") -> InvalidGrant:
    """Returns the one answer to every key that is good for nothing; `detail` and `subject` are for the log and the audit."""
    return InvalidGrant("The API key is invalid, expired or revoked.", detail=detail, subject=subject)
