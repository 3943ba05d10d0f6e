"""ID tokens (OpenID Connect Core section 2): they tell a client who logged in, and nobody else anything (A62)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from identity.keyring.signers import Signer
from identity.verifier import profile

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class IdTokenGrant:
    """Everything an ID token is minted from. `auth_time` is Unix seconds; `nonce` goes into the first one only. `claims`
    are those that were asked for by name; none of them says what the token itself says."""

    subject: str
    client_id: str
    auth_time: int
    authentication_methods: tuple[str, ...]
    acr: str
    session_id: str = ""
    nonce: str | None = None
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IdTokenMint:
    """Mints the ID tokens of one issuer with one lifetime (seconds)."""

    issuer: str
    lifetime: int

    def mint(self, signer: Signer, grant: IdTokenGrant, access_token: str, now: int) -> str:
        """Returns a token issued at `now` (Unix seconds), signed with the algorithm of the client. Its audience is the client,
        so no service accepts it, and its `at_hash` says which access token it came with."""
        claims: dict[str, object] = {
            **grant.claims,
            "iss": self.issuer,
            "sub": grant.subject,
            "aud": grant.client_id,
            "iat": now,
            "exp": now + self.lifetime,
            "auth_time": grant.auth_time,
            "acr": grant.acr,
            "amr": grant.authentication_methods,
            "at_hash": signer.half_hash(access_token),
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        if grant.session_id:
            claims[profile.SESSION_CLAIM] = grant.session_id
        return signer.sign(profile.ID_TOKEN_TYPE, _encode(claims).encode())
