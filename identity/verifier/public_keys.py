"""A JWKS document becomes public keys, or is refused whole when its author cannot be trusted with keys (V10)."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Final

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

PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})

_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


class UntrustworthyJWKS(ValueError):
    """The document is refused whole; keys from an earlier one stay in use."""


def read_jwks(document: bytes) -> dict[str, RSAPublicKey]:
    """Returns the usable keys by `kid`, at least one, or raises `UntrustworthyJWKS`.

    Keys meant for something else (another type, `use`, algorithm) and weak keys are left out. A private or symmetric key, a
    `kid` used twice or too many keys make the whole document untrustworthy (RFC 7517; Wycheproof json_web_key).
    """
    entries = _entries(document)
    kids = [kid for entry in entries if isinstance(kid := entry.get("kid"), str)]
    if len(set(kids)) != len(kids):
        raise UntrustworthyJWKS("a kid is used twice")
    keys = {kid: key for entry in entries if (kid := _usable_kid(entry)) and (key := _load(entry))}
    if not keys:
        raise UntrustworthyJWKS("no usable key")
    return keys


def write_jwks(keys: Mapping[str, RSAPublicKey]) -> dict[str, object]:
    """Returns the document that `read_jwks` reads these keys from."""
    return {"keys": [_entry(kid, key) for kid, key in keys.items()]}


def _entry(kid: str, key: RSAPublicKey) -> dict[str, object]:
    numbers = key.public_numbers()
    members = {"kty": "RSA", "kid": kid, "use": "sig", "alg": ALGORITHM}
    return {**members, "n": _encoded(numbers.n), "e": _encoded(numbers.e)}


def _encoded(number: int) -> str:
    return urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


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
    """Returns the `kid` of an RSA key for verifying RS256 signatures."""
    operations = entry.get("key_ops", ["verify"])
    kid = entry.get("kid")
    fits = (
        entry.get("kty") == "RSA"
        and entry.get("alg", ALGORITHM) == ALGORITHM
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )
    return kid if fits and isinstance(kid, str) and 0 < len(kid) <= MAX_KEY_ID_CHARACTERS else None


def _load(entry: dict[str, object]) -> RSAPublicKey | None:
    members: dict[str, object] = {name: entry[name] for name in ("kty", "n", "e") if name in entry}
    try:
        key = PyJWK(members, algorithm=ALGORITHM).key
    except (PyJWTError, ValueError, TypeError):
        return None
    return key if isinstance(key, RSAPublicKey) and is_strong(key) else None


def is_strong(key: RSAPublicKey) -> bool:
    """Tells whether an RSA key is long enough, with an exponent and a modulus that nobody knows to be weak (V10)."""
    numbers = key.public_numbers()
    return (
        key.key_size >= MINIMUM_RSA_BITS
        and numbers.e >= RSA_PUBLIC_EXPONENT
        and numbers.e % 2 == 1
        and not has_roca_fingerprint(numbers.n)
    )


def has_roca_fingerprint(modulus: int) -> bool:
    """Tells whether a modulus looks made by the broken generator of CVE-2017-15361 (false alarms: about 1 in 10^8).

    Its primes are k*M + 65537^a mod M, so modulo every small prime the modulus is a power of 65537.
    """
    return all(
        any(pow(RSA_PUBLIC_EXPONENT, power, prime) == modulus % prime for power in range(prime - 1))
        for prime in _ROCA_PRIMES
    )
