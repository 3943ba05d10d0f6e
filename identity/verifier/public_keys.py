"""A JWKS document becomes public keys, or is refused whole when its author cannot be trusted with keys (V10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from identity.verifier.compact import strict_json_object
from identity.verifier.jwk import PRIVATE_MEMBERS, load, public_members
from identity.verifier.profile import (
    ALGORITHM,
    MAX_KEY_ID_CHARACTERS,
    MAX_PUBLISHED_KEYS,
)
from identity.verifier.signatures import PublicKey

_OF_TYPE: Final[Mapping[object, tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""The algorithms of each type of key and curve, first the one that is meant where the JWK names none."""


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
        if (kid := _usable_kid(entry))
        and (algorithm := _algorithm(entry)) in algorithms
        and (key := load(entry, algorithm))
    }
    if not keys:
        raise UntrustworthyJWKS("no usable key")
    return keys


def write_jwks(keys: Mapping[str, PublicKey]) -> dict[str, object]:
    """Returns the document that `read_jwks` reads these keys from."""
    return {"keys": [_entry(kid, key) for kid, key in keys.items()]}


def _entry(kid: str, key: PublicKey) -> dict[str, object]:
    return {"kid": kid, "use": "sig", "alg": key.algorithm, **public_members(key.raw)}


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
