"""The public keys of clients: what they sign assertions and requests with (RFC 7517)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from identity.verifier.profile import MAX_KEY_ID_CHARACTERS, MINIMUM_RSA_BITS

MOST_KEYS = 16
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""What clients may sign with: asymmetric, so that nobody who can check a signature can make one."""

FAPI_ALGORITHMS = ("PS256", "ES256", "EdDSA")
"""What the FAPI 2.0 security profile leaves of them (section 5.4.1)."""

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_OF_TYPE = {"RSA": ("RS256", "PS256"), "EC": ("ES256",), "OKP": ("EdDSA",)}


class ClientKeyError(ValueError):
    """The keys cannot be used; the message completes a sentence."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key. `algorithms` is what its signatures may say: one if the JWK says which. `expires_at` (Unix seconds) is the end
    that some registries write into a JWK; a signature by an expired key proves nothing."""

    kid: str | None
    algorithms: tuple[str, ...]
    key: Any
    expires_at: float | None


def read_client_keys(jwks: Iterable[Mapping[str, object]]) -> tuple[ClientKey, ...]:
    """Returns the keys for signatures, or raises `ClientKeyError`: a private or symmetric key was published, or is weak."""
    entries = list(jwks)
    if len(entries) > MOST_KEYS:
        raise ClientKeyError(f"it has more than {MOST_KEYS} keys")
    keys = [_read(entry) for entry in entries if entry.get("use", "sig") == "sig"]
    kids = [key.kid for key in keys]
    if len(set(kids)) != len(kids):
        raise ClientKeyError("its keys need different kids")
    return tuple(keys)


def _read(entry: Mapping[str, object]) -> ClientKey:
    if not _PRIVATE_MEMBERS.isdisjoint(entry) or entry.get("kty") == "oct":
        raise ClientKeyError("it holds a private or symmetric key")
    kid, alg, expires_at = entry.get("kid"), entry.get("alg"), entry.get("exp")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KEY_ID_CHARACTERS):
        raise ClientKeyError("a kid is malformed")
    algorithms = _OF_TYPE.get(str(entry.get("kty")), ())
    if not algorithms or (alg is not None and alg not in algorithms):
        raise ClientKeyError("a key is of a type or algorithm that is not supported")
    if expires_at is not None and (not isinstance(expires_at, (int, float)) or isinstance(expires_at, bool)):
        raise ClientKeyError("an exp is malformed")
    return ClientKey(kid, (str(alg),) if alg else algorithms, _load(entry, algorithms[0]), expires_at)


def _load(entry: Mapping[str, object], algorithm: str) -> Any:
    members = {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}
    try:
        key = PyJWK(members, algorithm=algorithm).key
    except (PyJWTError, ValueError, TypeError):
        raise ClientKeyError("a key is malformed") from None
    strong = (
        (isinstance(key, RSAPublicKey) and key.key_size >= MINIMUM_RSA_BITS)
        or (isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1))
        or isinstance(key, Ed25519PublicKey)
    )
    if not strong:
        raise ClientKeyError("a key is too short, or of another curve than P-256 and Ed25519")
    return key
