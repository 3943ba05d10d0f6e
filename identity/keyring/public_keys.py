"""Public keys as the JWKS shows them (RFC 7517): exactly one document for each key, and a `kid` that only this key has."""

from __future__ import annotations

from typing import TypeGuard

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from identity.keyring.algorithms import PrivateKey, PublicKey
from identity.keyring.states import PublicJwk
from identity.verifier.jwk import public_members, thumbprint
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
    jwk = public_members(key)
    return {**jwk, "kid": thumbprint(jwk), "use": "sig", "alg": algorithm}


def published_key(jwk: PublicJwk) -> PyJWK:
    """Returns the key a public JWK describes, for its one algorithm; `ValueError` unless it is written as `public_jwk` writes
    it: what stands in a keyring is published, and names the very key that its kid says (K02, K03)."""
    if jwk["alg"] not in _TYPES:
        raise ValueError("an algorithm that no key is for")
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
