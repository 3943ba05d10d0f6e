"""A public JWK that a client brings becomes a key that verifies its signatures, or is refused."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

from identity.verifier.public_keys import PRIVATE_MEMBERS, is_strong

_MEMBERS: Final = {
    "ES256": ("crv", "kty", "x", "y"),
    "PS256": ("e", "kty", "n"),
    "RS256": ("e", "kty", "n"),
    "EdDSA": ("crv", "kty", "x"),
    "Ed25519": ("crv", "kty", "x"),
}
"""The members that make up a key for each algorithm, in the order of RFC 7638 section 3.2."""

SIGNATURE_ALGORITHMS: Final = tuple(_MEMBERS)
"""What clients may sign with: asymmetric, with keys that are strong enough, and nothing that a key could be confused by."""

_KNOWN: Final = get_default_algorithms()
_ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    name: _KNOWN["EdDSA" if name == "Ed25519" else name] for name in _MEMBERS
}
"""`Ed25519` is what RFC 9864 calls `EdDSA` with the one curve that is taken here."""

_MAX_RSA_BITS: Final = 4096
_MAX_EXPONENT_BITS: Final = 32
"""Whoever sends a key chooses what a look at its signature costs us."""


class UnusableKey(ValueError):
    """The JWK is no public key for the algorithm, or a weak one; the message says which, and nothing of the key."""


@dataclass(frozen=True, slots=True)
class SignatureKey:
    """A public key for one algorithm. `thumbprint` is that of RFC 7638: another key never has the same."""

    algorithm: str
    thumbprint: str
    _key: Any = field(repr=False)

    def verifies(self, signature: bytes, signing_input: bytes) -> bool:
        """Tells whether the holder of the private key signed this."""
        return bool(_ALGORITHMS[self.algorithm].verify(signing_input, self._key, signature))


def read_signature_key(jwk: Mapping[str, object], algorithm: str) -> SignatureKey:
    """Returns the key, or raises `UnusableKey`. `algorithm` is one of `SIGNATURE_ALGORITHMS`; a key that says what it is for
    must be for that (RFC 8725 section 3.1)."""
    if jwk.get("kty") == "oct" or not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise UnusableKey("the key is private or symmetric")
    if jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig" or not _may_verify(jwk):
        raise UnusableKey("the key is for something else")
    members = {name: jwk.get(name) for name in _MEMBERS[algorithm]}
    if not all(isinstance(value, str) and value.isascii() for value in members.values()):
        raise UnusableKey("the key lacks a member")
    try:
        key = _ALGORITHMS[algorithm].from_jwk(members)
    except (PyJWTError, ValueError, TypeError):
        raise UnusableKey("the key is malformed") from None
    if _written(key) != members:
        raise UnusableKey("the key is weak, of another type, or not spelt as it should be")
    canonical = json.dumps(members, separators=(",", ":"))
    return SignatureKey(algorithm, _base64url(hashlib.sha256(canonical.encode()).digest()), key)


def _may_verify(jwk: Mapping[str, object]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _written(key: object) -> dict[str, str]:
    """Returns the one spelling of a key that is good enough; two spellings would be two thumbprints of the same key."""
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        point = key.public_numbers()
        return {"crv": "P-256", "kty": "EC", "x": _number(point.x, 32), "y": _number(point.y, 32)}
    if isinstance(key, Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_bytes_raw())}
    if isinstance(key, RSAPublicKey) and key.key_size <= _MAX_RSA_BITS and is_strong(key):
        numbers = key.public_numbers()
        if numbers.e.bit_length() <= _MAX_EXPONENT_BITS:
            return {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
    return {}


def _number(value: int, size: int = 0) -> str:
    return _base64url(value.to_bytes(size or (value.bit_length() + 7) // 8))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
