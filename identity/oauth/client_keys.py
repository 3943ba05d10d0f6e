"""The public keys of clients: what they sign assertions and requests with (RFC 7517)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from identity.verifier.profile import MAX_KEY_ID_CHARACTERS
from identity.verifier.signature_keys import SIGNATURE_ALGORITHMS, SignatureKey, UnusableKey, read_signature_key

MOST_KEYS = 16
FAPI_ALGORITHMS = ("PS256", "ES256", "EdDSA", "Ed25519")
"""What the FAPI 2.0 security profile leaves of the algorithms (section 5.4.1)."""

_OF_TYPE = {"RSA": ("RS256", "PS256"), "EC": ("ES256",), "OKP": ("EdDSA", "Ed25519")}


class ClientKeyError(ValueError):
    """The keys cannot be used; the message completes a sentence."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key, by the algorithms that its signatures may say: one if the JWK says which. `expires_at` (Unix seconds) is the end
    that some registries write into a JWK; a signature by an expired key proves nothing."""

    kid: str | None
    by_algorithm: Mapping[str, SignatureKey] = field(repr=False)
    expires_at: float | None

    def signed(self, algorithm: str, signature: bytes, signing_input: bytes, now: float) -> bool:
        """Tells whether the holder of the key, which is still good, signed this."""
        key = self.by_algorithm.get(algorithm)
        is_good = self.expires_at is None or now < self.expires_at
        return key is not None and is_good and key.verifies(signature, signing_input)


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
    kid, alg, expires_at = entry.get("kid"), entry.get("alg"), entry.get("exp")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KEY_ID_CHARACTERS):
        raise ClientKeyError("a kid is malformed")
    if expires_at is not None and expires_at.__class__ not in (int, float):  # A bool has another class.
        raise ClientKeyError("an exp is malformed")
    possible = _OF_TYPE.get(str(entry.get("kty")), SIGNATURE_ALGORITHMS)
    if alg is not None and alg not in possible:
        raise ClientKeyError("the algorithm of a key is not supported")
    assert expires_at is None or isinstance(expires_at, int | float)
    try:
        algorithms = possible if alg is None else (str(alg),)
        return ClientKey(kid, {name: read_signature_key(entry, name) for name in algorithms}, expires_at)
    except UnusableKey as error:
        raise ClientKeyError(str(error)) from None
