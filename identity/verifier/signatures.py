"""What verifies signatures: a public key and its one algorithm, which verifies nothing of another (RFC 8725 section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from identity.verifier.profile import ALGORITHMS

_HASH: Final = SHA256()
_PKCS1: Final = PKCS1v15()
_PSS: Final = PSS(MGF1(_HASH), salt_length=_HASH.digest_size)
"""The salt is as long as the hash, no longer and no shorter (RFC 7518 section 3.5)."""
_ECDSA: Final = ECDSA(_HASH)
_HALF: Final = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key of the issuer. `algorithm` is what its JWK says, never what a token says."""

    algorithm: str
    raw: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

    def verify(self, signature: bytes, signing_input: bytes) -> None:
        """Returns if the holder of the private key signed this, or raises `InvalidSignature`."""
        _VERIFY[self.algorithm](self.raw, signature, signing_input)


def check_algorithms(algorithms: Collection[str]) -> None:
    """Raises `ValueError` unless these are algorithms that keys may have, spelt as they are: no `none`, nothing symmetric."""
    if isinstance(algorithms, str) or not algorithms or not set(algorithms) <= set(ALGORITHMS):
        raise ValueError(f"algorithms are some of {', '.join(ALGORITHMS)} (V01)")


def _rs256(key: Any, signature: bytes, signing_input: bytes) -> None:
    key.verify(signature, signing_input, _PKCS1, _HASH)


def _ps256(key: Any, signature: bytes, signing_input: bytes) -> None:
    key.verify(signature, signing_input, _PSS, _HASH)


def _es256(key: Any, signature: bytes, signing_input: bytes) -> None:
    """Two numbers of 32 bytes side by side; in ASN.1 one signature would have many spellings (RFC 7518 section 3.4)."""
    if len(signature) != 2 * _HALF:
        raise InvalidSignature
    r, s = int.from_bytes(signature[:_HALF]), int.from_bytes(signature[_HALF:])
    key.verify(encode_dss_signature(r, s), signing_input, _ECDSA)


def _eddsa(key: Any, signature: bytes, signing_input: bytes) -> None:
    key.verify(signature, signing_input)


_VERIFY: Final[Mapping[str, Callable[[Any, bytes, bytes], None]]] = {
    "RS256": _rs256,
    "PS256": _ps256,
    "ES256": _es256,
    "EdDSA": _eddsa,
}
