"""Public keys as the JWKS shows them (RFC 7517): exactly one document for each key, and a `kid` that only this key has."""

from __future__ import annotations

import hashlib
import json
from typing import TypeGuard

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from identity.keyring.algorithms import COORDINATE_BYTES, PrivateKey, PublicKey
from identity.keyring.signers import base64url
from identity.keyring.states import PublicJwk
from identity.verifier.profile import ALGORITHM

_TYPES: dict[str, type[rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey]] = {
    "RS256": rsa.RSAPublicKey,
    "PS256": rsa.RSAPublicKey,
    "ES256": ec.EllipticCurvePublicKey,
    "EdDSA": ed25519.Ed25519PublicKey,
}


def public_jwk(key: PublicKey, algorithm: str = ALGORITHM) -> PublicJwk:
    """Returns the public members a JWKS shows, and nothing else (K03); `ValueError` for a key that is of another type."""
    if not isinstance(key, _TYPES[algorithm]):
        raise ValueError(f"the key is none for {algorithm}")
    jwk = _members(key)
    return {**jwk, "kid": thumbprint(jwk), "use": "sig", "alg": algorithm}


def published_key(jwk: PublicJwk) -> PyJWK:
    """Returns the key a public JWK describes, for its one algorithm; `ValueError` unless it is written as `public_jwk` writes
    it: what stands in a keyring is published, and names the very key that its kid says (K02, K03)."""
    try:
        key = PyJWK(jwk, algorithm=jwk["alg"])
    except PyJWTError:
        raise ValueError("no public key") from None
    if public_jwk(key.key, jwk["alg"]) != jwk:
        raise ValueError("another key than it is named for")
    return key


def is_private_half(key: object, jwk: PublicJwk) -> TypeGuard[PrivateKey]:
    """Tells whether `key` is the private key of this public one."""
    if not isinstance(key, PrivateKey):
        return False
    try:
        return public_jwk(key.public_key(), jwk["alg"]) == jwk
    except ValueError:
        return False


def thumbprint(jwk: PublicJwk) -> str:
    """Returns the RFC 7638 thumbprint: the same key always has the same `kid`, and no other key has it. Two algorithms that
    shared a key would share it, too, which no keyring allows (K04)."""
    members = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    return base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _members(key: PublicKey) -> PublicJwk:
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _uint(numbers.n), "e": _uint(numbers.e)}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_bytes_raw())}
    if not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("another curve than P-256")
    point = key.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": _coordinate(point.x), "y": _coordinate(point.y)}


def _uint(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8))


def _coordinate(number: int) -> str:
    return base64url(number.to_bytes(COORDINATE_BYTES))
