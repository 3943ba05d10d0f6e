"""What signs, and how: one strategy for each algorithm. A key is made for one of them and never used for another (K04)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from identity.verifier.profile import RSA_PUBLIC_EXPONENT

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

COORDINATE_BYTES: Final = 32
"""Of a point of P-256, and of each half of an ES256 signature."""

_HASH = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class Algorithm:
    """`make` makes a private key (its argument counts for RSA alone); `signing` prepares one, so that nothing about it is
    decided again for each token. `digest` is what hashes are made with that go along with its signatures."""

    make: Callable[[int], PrivateKey]
    signing: Callable[[Any], Callable[[bytes], bytes]]
    digest: str = "sha256"


def _make_rsa(bits: int) -> PrivateKey:
    return rsa.generate_private_key(RSA_PUBLIC_EXPONENT, bits)


def _make_p256(_: int) -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _make_ed25519(_: int) -> PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def _pkcs1(key: rsa.RSAPrivateKey) -> Callable[[bytes], bytes]:
    return partial(key.sign, padding=padding.PKCS1v15(), algorithm=_HASH)


def _pss(key: rsa.RSAPrivateKey) -> Callable[[bytes], bytes]:
    """The salt is as long as the hash (RFC 7518 section 3.5)."""
    return partial(key.sign, padding=padding.PSS(padding.MGF1(_HASH), salt_length=_HASH.digest_size), algorithm=_HASH)


def _ecdsa(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    """The two numbers side by side, not in ASN.1 (RFC 7518 section 3.4)."""
    sign = partial(key.sign, signature_algorithm=ec.ECDSA(_HASH))

    def signed(data: bytes) -> bytes:
        r, s = decode_dss_signature(sign(data))
        return r.to_bytes(COORDINATE_BYTES) + s.to_bytes(COORDINATE_BYTES)

    return signed


def _eddsa(key: ed25519.Ed25519PrivateKey) -> Callable[[bytes], bytes]:
    return key.sign


SIGNING: Final[Mapping[str, Algorithm]] = {
    "RS256": Algorithm(_make_rsa, _pkcs1),
    "PS256": Algorithm(_make_rsa, _pss),
    "ES256": Algorithm(_make_p256, _ecdsa),
    "EdDSA": Algorithm(_make_ed25519, _eddsa, digest="sha512"),
}
"""By the name in `alg`. Ed25519 hashes with SHA-512 (RFC 8032 section 5.1), and so does `at_hash` beside its signatures."""
