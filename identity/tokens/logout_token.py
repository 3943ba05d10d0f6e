"""Logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.4): they tell a client that a login ended (A58)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from identity.keyring.signers import Signer
from identity.verifier import profile

LIFETIME_SECONDS: Final = 120
_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class LogoutTokenMint:
    """Mints the logout tokens of one issuer."""

    issuer: str

    def mint(self, signer: Signer, token_id: str, client_id: str, subject: str, session_id: str, now: int) -> str:
        """Returns a signed token issued at `now` (Unix seconds). Its `typ` is no other token's and it has no nonce, so it
        passes for none; a client that gets the same `token_id` twice has heard of it already."""
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": client_id,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": token_id,
            "events": {_EVENT: {}},
            profile.SESSION_CLAIM: session_id,
        }
        return signer.sign(profile.LOGOUT_TOKEN_TYPE, _encode(claims).encode())
