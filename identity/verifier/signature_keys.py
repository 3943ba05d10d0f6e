"""A public JWK that a client brings becomes a key that verifies its signatures, or is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from identity.verifier.jwk import PRIVATE_MEMBERS, PublicKeyMaterial, load, public_members, thumbprint
from identity.verifier.signatures import PublicKey

_MEMBERS: Final = {
    "ES256": ("crv", "kty", "x", "y"),
    "PS256": ("e", "kty", "n"),
    "RS256": ("e", "kty", "n"),
    "EdDSA": ("crv", "kty", "x"),
    "Ed25519": ("crv", "kty", "x"),
}
"""The members that make up a key for each algorithm."""

SIGNATURE_ALGORITHMS: Final = tuple(_MEMBERS)
"""What clients may sign with: asymmetric, with keys that are strong enough, and nothing that a key could be confused by."""

_NAMES: Final = {"Ed25519": "EdDSA"}
"""The same algorithm by the name that RFC 9864 gave it."""

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
    _key: PublicKey = field(repr=False)

    def verifies(self, signature: bytes, signing_input: bytes) -> bool:
        """Tells whether the holder of the private key signed this."""
        try:
            self._key.verify(signature, signing_input)
        except InvalidSignature:
            return False
        return True


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
    name = _NAMES.get(algorithm, algorithm)
    key = load(members, name)
    # Two spellings would be two thumbprints of the same key.
    if key is None or _costs_too_much(key) or public_members(key) != members:
        raise UnusableKey("the key is malformed, weak, of another type, or not spelt as it should be")
    return SignatureKey(algorithm, thumbprint(public_members(key)), PublicKey(name, key))


def _may_verify(jwk: Mapping[str, object]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _costs_too_much(key: PublicKeyMaterial) -> bool:
    return isinstance(key, RSAPublicKey) and (
        key.key_size > _MAX_RSA_BITS or key.public_numbers().e.bit_length() > _MAX_EXPONENT_BITS
    )
