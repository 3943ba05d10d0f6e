"""A client that proves who it is with a key of its own: what it registers, and what it signs."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from issuer_in_process import ISSUER
from jwt.algorithms import get_default_algorithms

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAKE: dict[str, Any] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


def by_hand(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A JWT that no library would write."""
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    return b".".join((signed, _base64url(sign(signed)))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@dataclass
class KeyedClient:
    """What a client with a key has. `aud` is the issuer unless a test says otherwise."""

    client_id: str = "keyed"
    alg: str = "ES256"
    kid: str = "k1"
    key: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.key = self.key or _MAKE[self.alg]()

    @cached_property
    def jwk(self) -> dict[str, Any]:
        """The public key as it is registered."""
        public = get_default_algorithms()[self.alg].to_jwk(self.key.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": self.alg, "use": "sig"}

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """Any JWT of this client; a header that is None is left out."""
        said = {"kid": self.kid, **headers}
        return jwt.encode(claims, self.key, self.alg, headers={name: value for name, value in said.items() if value})

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What an assertion says; a claim that is None is left out."""
        now = int(time.time())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": ISSUER, "iat": now, "exp": now + 60}
        claims = {**claims, "jti": secrets.token_urlsafe(12), **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(self, **changes: Any) -> dict[str, str]:
        """The form fields that prove who asks."""
        return self.fields(self.sign(self.claims(**changes)))

    def fields(self, assertion: str) -> dict[str, str]:
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
