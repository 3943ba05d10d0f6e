"""What attacks are made of: the addresses and keys in play, and tokens that are right but for one thing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from identity.testing import SigningKey
from identity.testing.issuer import LIFETIME
from identity.testing.keys import base64url, to_json
from identity.verifier.profile import ACCESS_TOKEN_TYPE, ALGORITHM, GRANT_CLAIM, REVISION_CLAIM

Members = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to the protected address: header fields in this order, and a query."""

    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""


def bearer(token: str) -> Request:
    """Returns a request that brings a token as RFC 6750 section 2.1 wants it."""
    return Request((("Authorization", f"Bearer {token}"),))


@dataclass(frozen=True, slots=True)
class Material:
    """Everything an attack may use; `now` in Unix seconds.

    `key` is the issuer's current one and `other` a second one it publishes. `stranger` is the attacker's, which is published
    only `elsewhere`, an address of the attacker's that counts its visitors.
    """

    issuer: str
    audience: str
    subject: str
    scopes: tuple[str, ...]
    revision: int
    now: int
    key: SigningKey = field(repr=False)
    other: SigningKey = field(repr=False)
    stranger: SigningKey = field(repr=False)
    elsewhere: str

    def header(self, changes: Members | None = None) -> dict[str, object]:
        """Returns the header of a good token with changes; members that are `None` are left out."""
        usual = {"alg": ALGORITHM, "typ": ACCESS_TOKEN_TYPE, "kid": self.key.kid}
        return {name: value for name, value in {**usual, **(changes or {})}.items() if value is not None}

    def claims(self, without: str = "", /, **changes: object) -> dict[str, object]:
        """Returns the claims of a good token with changes and without one of them; `None` is null."""
        times = {"iat": self.now, "exp": self.now + LIFETIME, REVISION_CLAIM: self.revision}
        unique = {"jti": secrets.token_urlsafe(16), GRANT_CLAIM: secrets.token_urlsafe(16)}
        ids = {"iss": self.issuer, "sub": self.subject, "aud": self.audience, "client_id": "demo"}
        usual = {**ids, **unique, **times, "scope": " ".join(self.scopes)}
        return {name: value for name, value in {**usual, **changes}.items() if name != without}

    def token(self, header: Members | None = None, without: str = "", **claims: object) -> str:
        """Returns a token that the issuer signed."""
        return self.key.sign(self.header(header), self.claims(without, **claims))

    def forged(self, header: Members | None = None, **claims: object) -> str:
        """Returns a token that the attacker signed, in the name of the issuer's key."""
        return self.stranger.sign(self.header(header), self.claims(**claims))

    def unsigned(self, header: Members | None = None, **claims: object) -> str:
        """Returns the first two segments, for a signature of another kind."""
        return f"{base64url(to_json(self.header(header)))}.{base64url(to_json(self.claims(**claims)))}"
