"""What the server signs and authenticates with: loaded keys, never files or PEM text.

A PEM string handed to a library on every call is parsed and validated each time: 130 times the cost of the signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, RSAPublicNumbers

from identity.keyring.states import PublicJwk
from identity.verifier import profile

_PADDING = padding.PKCS1v15()
_HASH = hashes.SHA256()
_MAC_BYTES = 16


def base64url(data: bytes) -> str:
    """Returns `data` in base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def public_jwk(key: RSAPublicKey) -> PublicJwk:
    """Returns the public members a JWKS shows, and nothing else (K03)."""
    numbers = key.public_numbers()
    jwk = {"kty": "RSA", "n": _uint(numbers.n), "e": _uint(numbers.e)}
    return {**jwk, "kid": thumbprint(jwk), "use": "sig", "alg": profile.ALGORITHM}


def rsa_public_key(jwk: PublicJwk) -> RSAPublicKey:
    """Returns the key a public JWK describes."""
    return RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()


def thumbprint(jwk: PublicJwk) -> str:
    """Returns the RFC 7638 thumbprint of an RSA key: the same key always has the same `kid`, and no other key has it."""
    canonical = json.dumps({"e": jwk["e"], "kty": jwk["kty"], "n": jwk["n"]}, separators=(",", ":"))
    return base64url(hashlib.sha256(canonical.encode()).digest())


def _uint(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with one RSA key (RS256). The header segment is built once for each `typ`: it is the same in every token."""

    kid: str
    _key: RSAPrivateKey = field(repr=False)
    _headers: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, kid: str, key: RSAPrivateKey) -> Signer:
        """Prepares `key` for both token types a resource may ask for."""
        types = (profile.ACCESS_TOKEN_TYPE, profile.LEGACY_TOKEN_TYPE)
        return cls(kid, key, {typ: _header(kid, typ) for typ in types})

    def sign(self, typ: str, payload: bytes) -> str:
        """Returns the compact JWS of `payload`. CPU only, about 0.3 ms for 2048 bits.

        Inline on the event loop on purpose: a thread pool's hand-over costs more than it gains; scale by processes.
        """
        signing_input = f"{self._headers[typ]}.{base64url(payload)}"
        signature = self._key.sign(signing_input.encode("ascii"), _PADDING, _HASH)
        return f"{signing_input}.{base64url(signature)}"


def _header(kid: str, typ: str) -> str:
    return base64url(json.dumps({"alg": profile.ALGORITHM, "typ": typ, "kid": kid}, separators=(",", ":")).encode())


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
