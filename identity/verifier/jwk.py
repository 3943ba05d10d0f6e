"""Public keys as JWKs (RFC 7517): from members to a key that is strong enough, or to nothing; back to the one spelling of each;
and the name that only this key has."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from identity.verifier.profile import MINIMUM_RSA_BITS, RSA_PUBLIC_EXPONENT

PublicKeyMaterial = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_PUBLIC_MEMBERS: Final = ("crv", "e", "kty", "n", "x", "y")
"""In the order of RFC 7638 section 3.2."""

_COORDINATE_BYTES: Final = 32
_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ED25519_PRIME: Final = 2**255 - 19
_ED25519_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7


def load(jwk: Mapping[str, object], algorithm: str) -> PublicKeyMaterial | None:
    """Returns the key of a JWK for this algorithm; None for one that is malformed, of another type, or weak (V10)."""
    members: dict[str, object] = {name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk}
    try:
        key = PyJWK(members, algorithm=algorithm).key  # refuses a point that is not on its curve
    except (PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if is_strong(key) else None
    if isinstance(key, EllipticCurvePublicKey):
        return key if isinstance(key.curve, SECP256R1) else None
    return key if isinstance(key, Ed25519PublicKey) and not has_low_order(key.public_bytes_raw()) else None


def public_members(key: PublicKeyMaterial) -> dict[str, str]:
    """Returns the members that make up a key, and nothing else; `ValueError` for another curve than P-256."""
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_bytes_raw())}
    if not isinstance(key.curve, SECP256R1):
        raise ValueError("another curve than P-256")
    point = key.public_numbers()
    x, y = (base64url(number.to_bytes(_COORDINATE_BYTES)) for number in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Returns the RFC 7638 thumbprint: the same key always has the same, and no other key has it."""
    members = {name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk}
    return base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def base64url(data: bytes) -> str:
    """Returns `data` in base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def is_strong(key: RSAPublicKey) -> bool:
    """Tells whether an RSA key is long enough, with an exponent and a modulus that nobody knows to be weak (V10)."""
    numbers = key.public_numbers()
    return (
        key.key_size >= MINIMUM_RSA_BITS
        and numbers.e >= RSA_PUBLIC_EXPONENT
        and numbers.e % 2 == 1
        and not has_roca_fingerprint(numbers.n)
    )


def has_low_order(point: bytes) -> bool:
    """Tells whether a point of Ed25519 has an order of at most 8, or is written in a way of its own: everybody can sign with
    such a key (RFC 8032 section 5.1.3; "Taming the many EdDSAs", 2020)."""
    y = int.from_bytes(point, "little") & (2**255 - 1)
    order_8 = (_ED25519_ORDER_8, _ED25519_PRIME - _ED25519_ORDER_8)
    return y >= _ED25519_PRIME or y in (0, 1, _ED25519_PRIME - 1, *order_8)


def has_roca_fingerprint(modulus: int) -> bool:
    """Tells whether a modulus looks made by the broken generator of CVE-2017-15361 (false alarms: about 1 in 10^8).

    Its primes are k*M + 65537^a mod M, so modulo every small prime the modulus is a power of 65537.
    """
    return all(
        any(pow(RSA_PUBLIC_EXPONENT, power, prime) == modulus % prime for power in range(prime - 1))
        for prime in _ROCA_PRIMES
    )


def _number(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8))
