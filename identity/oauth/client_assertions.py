"""Assertions: JWTs by which clients prove who they are, with a key that never leaves them (RFC 7523 section 3; A33, A34)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from identity.oauth.client_jwts import ClientJwtError, ClientJwts, claims_unverified, require_times
from identity.oauth.errors import InvalidClient
from identity.oauth.registry import RegisteredClient
from identity.oauth.replays import Once, Replays
from identity.verifier.profile import LEEWAY

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_TYPES = frozenset({"", "jwt", "client-authentication+jwt"})
_LONGEST_LIFETIME = 300
_MOST_ID_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class ClientAssertions:
    """Judges assertions. Their audience is the issuer and nothing else: with any other, a server that the client also talks to
    could use here what it was sent (CVE-2025-27370). `token_endpoint` is for clients that are registered so."""

    issuer: str
    token_endpoint: str
    jwts: ClientJwts
    replays: Replays

    def client_id_of(self, assertion: str) -> str:
        """Returns whom an assertion is about, unverified; empty if it says nothing."""
        try:
            subject = claims_unverified(assertion).get("sub")
        except ClientJwtError:
            return ""
        return subject if isinstance(subject, str) else ""

    async def prove(self, client: RegisteredClient, assertion: str) -> None:
        """Returns if the assertion proves that `client` asks, and was never used; raises `InvalidClient`. Everything else is
        looked at before it is used up, so nobody but the client can use one up."""
        now = time.time()
        try:
            claims = await self.jwts.read(client, assertion, _TYPES, now)
            expires_at = require_times(claims, now, _LONGEST_LIFETIME)
            if not claims.get("iss") == claims.get("sub") == client.client_id:
                raise ClientJwtError("of another client")
            self._require_audience(client, claims.get("aud"))
            token_id = claims.get("jti")
            if not isinstance(token_id, str) or not 0 < len(token_id) <= _MOST_ID_CHARACTERS:
                raise ClientJwtError("no jti")
        except ClientJwtError as error:
            raise InvalidClient(f"assertion: {error}") from None
        remembered = expires_at - now + 2 * LEEWAY
        if not await self.replays.is_first(Once.CLIENT_ASSERTION, f"{client.client_id}\0{token_id}", remembered):
            raise InvalidClient("assertion: used before")

    def _require_audience(self, client: RegisteredClient, audience: object) -> None:
        accepted = {self.issuer}
        if client.accepts_token_endpoint_audience:
            accepted.add(self.token_endpoint)
        if not isinstance(audience, str) or audience not in accepted:
            raise ClientJwtError("for another audience")
