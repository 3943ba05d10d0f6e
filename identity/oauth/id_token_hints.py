"""ID tokens that come back as hints: whose login is meant? (OpenID Connect Core 3.1.2.1, RP-Initiated Logout section 2)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt

from identity.keyring.live import LiveKeys
from identity.keyring.public_keys import published_key
from identity.keyring.states import KeyState
from identity.oauth.registry import Registry
from identity.oauth.subjects import Subjects
from identity.verifier import profile

_OPTIONS: Any = {
    "require": ["sub", "aud", "auth_time"],
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True)
class HintedLogin:
    """What an ID token of ours says about the login that it tells of; `subject` is the name by which that client knows the
    person."""

    subject: str
    client_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class IdTokenHints:
    """Reads them. A hint proves nothing but that we issued it: it may have expired long ago, and its key may be retired."""

    keys: LiveKeys
    issuer: str
    registry: Registry
    subjects: Subjects

    async def names(self, hint: HintedLogin, subject: str) -> bool:
        """Tells whether the hint is about this person, whom its client may know by a pairwise name (A63)."""
        client = await self.registry.client(hint.client_id)
        return client is not None and hint.subject == self.subjects.of(client, subject)

    def read(self, token: str) -> HintedLogin | None:
        """Returns what an ID token of ours says; None for anything else. Keys that were withdrawn sign no hint (A57)."""
        if len(token) > profile.MAX_TOKEN_BYTES:
            return None
        try:
            header = jwt.get_unverified_header(token)
            claims = self._decode(token, str(header.get("kid")))
        except jwt.PyJWTError:
            return None
        # For old resources, access tokens have the same `typ`: only they say which client they were given to.
        if claims is None or header.get("typ") != profile.ID_TOKEN_TYPE or profile.REVISION_CLAIM in claims:
            return None
        return HintedLogin(claims["sub"], claims["aud"], str(claims.get(profile.SESSION_CLAIM, "")))

    def _decode(self, token: str, kid: str) -> dict[str, str] | None:
        for record in self.keys.now.keyring.signing:
            if record.kid == kid and record.state is not KeyState.WITHDRAWN:
                key, allowed = published_key(record.public), [record.algorithm]
                return jwt.decode(token, key, algorithms=allowed, issuer=self.issuer, options=_OPTIONS)
        return None
