"""UserInfo (OpenID Connect Core section 5.3): what a client may know of the person whose access token it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from identity.keyring.live import LiveKeys, NoSignerError
from identity.oauth.claims import claims_for
from identity.oauth.errors import TemporarilyUnavailable
from identity.oauth.metadata import USERINFO_PATH
from identity.oauth.person_tokens import PersonTokens, over
from identity.oauth.registry import RegisteredClient, Registry
from identity.oauth.requests import AccessRequest
from identity.oauth.subjects import Subjects
from identity.verifier.profile import API_KEY_CLIENT, USERINFO_CLAIM

_SIGNED_TYPE = "JWT"
"""OpenID Connect Core names no other, and libraries refuse others. It says neither when it was signed, nor of which login, nor
for which grant, so nobody takes it for an ID token, a hint or an access token."""


@dataclass(frozen=True, slots=True)
class UserInfoAnswer:
    """The claims; `signed` is a JWT that says the same, for a client that registered to have one (section 5.3.2)."""

    claims: Mapping[str, object]
    signed: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Answers for the person of a token, by its scopes."""

    tokens: PersonTokens
    registry: Registry
    subjects: Subjects
    keys: LiveKeys
    issuer: str

    async def answer(self, access: AccessRequest) -> UserInfoAnswer:
        """Returns the claims, or raises what `PersonTokens` does."""
        claims, person = await self.tokens.read(access, USERINFO_PATH)
        client = await self._client(access, claims["client_id"])
        # Last: whatever else is known of the person, the client gets the name that the person has for it (A63).
        subject = self.subjects.of(client, person.subject) if client else person.subject
        single = claims.get(USERINFO_CLAIM, ())
        told = {**claims_for(claims["scope"].split(), person.claims, single), "sub": subject}
        return UserInfoAnswer(told, self._signed(client, told) if client else None)

    async def _client(self, access: AccessRequest, client_id: str) -> RegisteredClient | None:
        """Returns who got the token; None for an API key's, whose program is registered nowhere."""
        if client_id == API_KEY_CLIENT:
            return None
        client = await self.registry.client(client_id)
        if client is None:
            raise over(access, "client removed")
        return client

    def _signed(self, client: RegisteredClient, claims: Mapping[str, object]) -> str | None:
        if not client.userinfo_signed_response_alg:
            return None
        payload = {**claims, "iss": self.issuer, "aud": client.client_id}
        encoded = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            return self.keys.now.signer_for(client.userinfo_signed_response_alg).sign(_SIGNED_TYPE, encoded)
        except NoSignerError as error:
            raise TemporarilyUnavailable("No key signs what the client is to get.", detail=str(error)) from None
