"""What the server signs and authenticates with: loaded keys, never files or PEM text.

A PEM string handed to a library on every call is parsed and validated each time: 130 times the cost of the signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from identity.keyring.algorithms import SIGNING, PrivateKey
from identity.keyring.states import PublicJwk
from identity.verifier import profile

_MAC_BYTES = 16


def base64url(data: bytes) -> str:
    """Returns `data` in base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with one key, and its one algorithm. The header segment is built once for each `typ`: it is the same in every
    token."""

    kid: str
    algorithm: str
    _sign: Callable[[bytes], bytes] = field(repr=False, compare=False)
    _headers: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, kid: str, key: PrivateKey, algorithm: str = profile.ALGORITHM) -> Signer:
        """Prepares `key` for both token types a resource may ask for, and for logout tokens."""
        types = (profile.ACCESS_TOKEN_TYPE, profile.LEGACY_TOKEN_TYPE, profile.LOGOUT_TOKEN_TYPE)
        headers = {typ: _header(algorithm, kid, typ) for typ in types}
        return cls(kid, algorithm, SIGNING[algorithm].signing(key), headers)

    def sign(self, typ: str, payload: bytes) -> str:
        """Returns the compact JWS of `payload`. CPU only, about 0.3 ms for RSA of 2048 bits, less than a tenth for curves.

        Inline on the event loop on purpose: a thread pool's hand-over costs more than it gains; scale by processes.
        """
        signing_input = f"{self._headers[typ]}.{base64url(payload)}"
        return f"{signing_input}.{base64url(self._sign(signing_input.encode('ascii')))}"

    def half_hash(self, text: str) -> str:
        """Returns the left half of the hash that goes with its signatures (OpenID Connect Core section 3.1.3.6)."""
        digest = hashlib.new(SIGNING[self.algorithm].digest, text.encode("ascii")).digest()
        return base64url(digest[: len(digest) // 2])


def _header(algorithm: str, kid: str, typ: str) -> str:
    return base64url(json.dumps({"alg": algorithm, "typ": typ, "kid": kid}, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class RefreshAuthenticator:
    """Makes and checks the MAC of refresh tokens.

    The MAC covers family and generation and nothing else, so every replica computes the same successor for the same step,
    and nothing usable is stored. A family names the key it was begun with, and keeps it for life: a successor computed
    during a key rotation is the same everywhere.
    """

    current_key_id: str
    _keys: dict[str, bytes] = field(repr=False)

    def mac(self, key_id: str, message: str) -> str:
        """Returns the MAC in base64url; `KeyError` for a key this server does not have."""
        return base64url(hmac.digest(self._keys[key_id], message.encode(), "sha256")[:_MAC_BYTES])

    def is_authentic(self, key_id: str, message: str, mac: str) -> bool:
        """Tells whether this server's keys made `mac`; constant time in everything secret."""
        return key_id in self._keys and hmac.compare_digest(self.mac(key_id, message).encode(), mac.encode())


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """The JWKS document as it is served, built once for each state of the keyring."""

    kids: tuple[str, ...]
    body: bytes
    version: str

    @classmethod
    def of(cls, jwks: Iterable[PublicJwk]) -> PublishedKeys:
        """Builds the document; `version` names its content (it is the ETag, and what the revocation feed announces)."""
        keys = list(jwks)
        body = json.dumps({"keys": keys}, separators=(",", ":")).encode()
        return cls(tuple(key["kid"] for key in keys), body, base64url(hashlib.sha256(body).digest()[:12]))
