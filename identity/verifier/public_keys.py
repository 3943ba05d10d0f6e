"""A JWKS document becomes public keys, or is refused whole when its author cannot be trusted with keys (V10)."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from identity.verifier.compact import strict_json_object
from identity.verifier.profile import (
    ALGORITHM,
    MAX_KEY_ID_CHARACTERS,
    MAX_PUBLISHED_KEYS,
    MINIMUM_RSA_BITS,
    RSA_PUBLIC_EXPONENT,
)
from identity.verifier.signatures import PublicKey

PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})

_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


_OF_TYPE: Final[Mapping[object, tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""The algorithms of each type of key and curve, first the one that is meant where the JWK names none."""

_MEMBERS: Final = ("kty", "n", "e", "crv", "x", "y")

_ED25519_PRIME: Final = 2**255 - 19
_ED25519_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7


class UntrustworthyJWKS(ValueError):
    """The document is refused whole; keys from an earlier one stay in use."""


def read_jwks(document: bytes, algorithms: Collection[str] = (ALGORITHM,)) -> dict[str, PublicKey]:
    """Returns the usable keys of these algorithms by `kid`, at least one, or raises `UntrustworthyJWKS`.

    Keys meant for something else (another type, `use`, algorithm) and weak keys are left out. A private or symmetric key, a
    `kid` used twice or too many keys make the whole document untrustworthy (RFC 7517; Wycheproof json_web_key).
    """
    entries = _entries(document)
    kids = [kid for entry in entries if isinstance(kid := entry.get("kid"), str)]
    if len(set(kids)) != len(kids):
        raise UntrustworthyJWKS("a kid is used twice")
    keys = {
        kid: PublicKey(algorithm, key)
        for entry in entries
        if (kid := _usable_kid(entry)) and (algorithm := _algorithm(entry)) in algorithms and (key := _load(entry))
    }
    if not keys:
        raise UntrustworthyJWKS("no usable key")
    return keys


def write_jwks(keys: Mapping[str, PublicKey]) -> dict[str, object]:
    """Returns the document that `read_jwks` reads these keys from."""
    return {"keys": [_entry(kid, key) for kid, key in keys.items()]}


def _entry(kid: str, key: PublicKey) -> dict[str, object]:
    return {"kid": kid, "use": "sig", "alg": key.algorithm, **_written(key.raw)}


def _written(key: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey) -> dict[str, object]:
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _encoded(numbers.n), "e": _encoded(numbers.e)}
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(key.public_bytes_raw())}
    point = key.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": _base64url(point.x.to_bytes(32)), "y": _base64url(point.y.to_bytes(32))}


def _encoded(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _entries(document: bytes) -> list[dict[str, object]]:
    try:
        entries = strict_json_object(document).get("keys")
    except ValueError as error:
        raise UntrustworthyJWKS("not strict JSON") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UntrustworthyJWKS("keys is not an array of objects")
    if len(entries) > MAX_PUBLISHED_KEYS:
        raise UntrustworthyJWKS("too many keys")
    if any(entry.get("kty") == "oct" or not PRIVATE_MEMBERS.isdisjoint(entry) for entry in entries):
        raise UntrustworthyJWKS("a private or symmetric key was published")
    return entries


def _usable_kid(entry: dict[str, object]) -> str | None:
    """Returns the `kid` of a key for verifying signatures."""
    operations = entry.get("key_ops", ["verify"])
    kid = entry.get("kid")
    fits = entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    return kid if fits and isinstance(kid, str) and 0 < len(kid) <= MAX_KEY_ID_CHARACTERS else None


def _algorithm(entry: dict[str, object]) -> str:
    """Returns the one algorithm of a key; nothing if it has none of ours, or one that does not go with its type."""
    kty, curve = entry.get("kty"), entry.get("crv")
    if not isinstance(kty, str) or not isinstance(curve, str | None):
        return ""
    fitting = _OF_TYPE.get((kty, curve), ())
    said = entry.get("alg", fitting[0] if fitting else "")
    return str(said) if said in fitting else ""


def _load(entry: dict[str, object]) -> RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | None:
    members: dict[str, object] = {name: entry[name] for name in _MEMBERS if name in entry}
    try:
        key = PyJWK(members, algorithm=_algorithm(entry)).key  # refuses a point that is not on its curve
    except (PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if is_strong(key) else None
    if isinstance(key, EllipticCurvePublicKey):
        return key if isinstance(key.curve, SECP256R1) else None
    return key if isinstance(key, Ed25519PublicKey) and not has_low_order(key.public_bytes_raw()) else None


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
