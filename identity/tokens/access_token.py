"""Access tokens (RFC 9068): from what was granted to a signed JWT. CPU only; nothing here can wait or fail halfway."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from identity.keyring.signers import Signer
from identity.verifier import profile

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class AccessTokenGrant:
    """Everything an access token is minted from, already checked and cut.

    `token_type` and `algorithm` are what the resource takes: its tokens are signed with that and no other algorithm.
    `revision` is the feed head seen *before* any of the rest was read: a rule that came in between is newer than the token.
    `confirmation` is what whoever sends the token must prove to hold.
    `expires_at` (Unix seconds) is when what it descends from ends, if that is known: the token does not outlive it.
    """

    subject: str
    client_id: str
    audience: str
    token_type: str
    scopes: tuple[str, ...]
    revision: int
    grant_id: str | None = None
    expires_at: int | None = None
    auth_time: int | None = None
    authentication_methods: tuple[str, ...] = ()
    roles: tuple[str, ...] | None = None
    session_id: str = ""
    acr: str = ""
    userinfo_claims: tuple[str, ...] = ()
    confirmation: profile.Confirmation | None = None
    algorithm: str = profile.ALGORITHM


@dataclass(frozen=True, slots=True)
class AccessTokenMint:
    """Mints the access tokens of one issuer with one lifetime (seconds)."""

    issuer: str
    lifetime: int

    def mint(self, signer: Signer, grant: AccessTokenGrant, now: int) -> str:
        """Returns a signed token issued at `now` (Unix seconds); its `kid` is always the key that signed it (K02)."""
        return signer.sign(grant.token_type, _encode(self._claims(grant, now)).encode())

    def lifetime_of(self, grant: AccessTokenGrant, now: int) -> int:
        """Returns how many seconds a token issued at `now` lives."""
        return self.lifetime if grant.expires_at is None else max(0, min(self.lifetime, grant.expires_at - now))

    def _claims(self, grant: AccessTokenGrant, now: int) -> dict[str, object]:
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": grant.subject,
            "aud": grant.audience,
            "client_id": grant.client_id,
            "iat": now,
            "exp": now + self.lifetime_of(grant, now),
            "jti": secrets.token_urlsafe(16),
            profile.REVISION_CLAIM: grant.revision,
        }
        if grant.scopes:
            claims["scope"] = " ".join(grant.scopes)
        if grant.grant_id is not None:
            claims[profile.GRANT_CLAIM] = grant.grant_id
        if grant.session_id:
            claims[profile.SESSION_CLAIM] = grant.session_id
        if grant.auth_time is not None:
            claims["auth_time"] = grant.auth_time
            claims["acr"] = grant.acr
            claims["amr"] = grant.authentication_methods
        if grant.userinfo_claims:
            claims[profile.USERINFO_CLAIM] = grant.userinfo_claims
        if grant.confirmation is not None:
            claims[profile.CONFIRMATION_CLAIM] = grant.confirmation.claim
        if grant.roles is not None:
            claims["roles"] = grant.roles
        return claims
