"""Signing keys for tests: made once in a process, because RSA keys take their time, and used again by every issuer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from identity.verifier.profile import ALGORITHM, MINIMUM_RSA_BITS, RSA_PUBLIC_EXPONENT

_supply: list[SigningKey] = []
_making = Lock()


def base64url(data: bytes) -> str:
    """Returns `data` in base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def to_json(value: object) -> bytes:
    """Returns compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class SigningKey:
    """A private key, and what a JWKS shows of it. `kid` is the thumbprint (RFC 7638): another key never has the same."""

    private: RSAPrivateKey = field(repr=False)

    @cached_property
    def kid(self) -> str:
        """The key's name."""
        members = {name: self._members[name] for name in ("e", "kty", "n")}
        return base64url(hashlib.sha256(to_json(members)).digest())

    @property
    def jwk(self) -> dict[str, str]:
        """The public members."""
        return {**self._members, "kid": self.kid, "use": "sig", "alg": ALGORITHM}

    def sign(self, header: Mapping[str, object] | bytes, payload: Mapping[str, object] | bytes) -> str:
        """Returns a compact JWS with this signature, whatever the header says; bytes are taken as they are."""
        signing_input = f"{_segment(header)}.{_segment(payload)}"
        return f"{signing_input}.{base64url(self.private.sign(signing_input.encode(), PKCS1v15(), SHA256()))}"

    @cached_property
    def _members(self) -> dict[str, str]:
        numbers = self.private.public_key().public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}


def signing_key(place: int) -> SigningKey:
    """Returns the key at a place of this process's supply, which is the same whoever asks."""
    with _making:
        while len(_supply) <= place:
            _supply.append(SigningKey(generate_private_key(RSA_PUBLIC_EXPONENT, MINIMUM_RSA_BITS)))
        return _supply[place]


def _segment(part: Mapping[str, object] | bytes) -> str:
    return base64url(part if isinstance(part, bytes) else to_json(part))


def _number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))
