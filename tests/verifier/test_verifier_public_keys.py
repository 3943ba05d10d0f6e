"""JWKS documents: which keys are taken, which are left, and which documents are refused whole."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers, generate_private_key
from fake_issuer import SigningKey, number

from identity.verifier.jwk import has_roca_fingerprint
from identity.verifier.public_keys import UntrustworthyJWKS, read_jwks
from identity.verifier.signatures import PublicKey


def document(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


@pytest.fixture
def good(signing_keys: list[SigningKey]) -> dict[str, object]:
    return signing_keys[0].jwk


def test_good_keys_are_read(signing_keys: list[SigningKey]) -> None:
    keys = read_jwks(document(*(key.jwk for key in signing_keys)))
    assert keys == {key.kid: PublicKey("RS256", key.private.public_key()) for key in signing_keys}


@pytest.mark.parametrize("absent", ["alg", "use"])
def test_key_without_alg_or_use_is_an_rs256_signing_key(good: dict[str, object], absent: str) -> None:
    """V10"""
    assert read_jwks(document({name: value for name, value in good.items() if name != absent}))


WHOLE: list[tuple[str, Callable[[dict[str, object]], list[object]]]] = [
    ("private d", lambda good: [good, {**good, "kid": "x", "d": "AQAB"}]),
    ("private p", lambda good: [good, {**good, "kid": "x", "p": "AQAB"}]),
    ("private EC", lambda good: [good, {"kty": "EC", "kid": "x", "d": "AQAB"}]),
    ("symmetric", lambda good: [good, {"kty": "oct", "kid": "x", "k": "AQAB"}]),
    ("symmetric without its value", lambda good: [good, {"kty": "oct", "kid": "x"}]),
    ("duplicate kid", lambda good: [good, good]),
    ("duplicate kid of another type", lambda good: [good, {"kty": "EC", "kid": good["kid"]}]),
    ("too many", lambda good: [{**good, "kid": str(each)} for each in range(17)]),
    ("no keys", lambda good: []),
    ("no object", lambda good: [good, "key"]),
]


@pytest.mark.parametrize("keys", [row[1] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_document_that_shows_carelessness_is_refused_whole(
    good: dict[str, object], keys: Callable[[dict[str, object]], list[object]]
) -> None:
    """V10"""
    with pytest.raises(UntrustworthyJWKS):
        read_jwks(document(*keys(good)))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"keys":{}}', b"\xff", b'{"keys":[],"keys":[]}', b"[" * 60_000])
def test_garbage_is_refused(text: bytes) -> None:
    """V10, V19"""
    with pytest.raises(UntrustworthyJWKS):
        read_jwks(text)


ONE: list[tuple[str, dict[str, object]]] = [
    ("encryption key", {"use": "enc"}),
    ("other algorithm", {"alg": "PS256"}),
    ("no alg at all, but null", {"alg": None}),
    ("key_ops without verify", {"key_ops": ["encrypt"]}),
    ("key_ops no list", {"key_ops": "verify"}),
    ("EC", {"kty": "EC"}),
    ("no kid", {"kid": None}),
    ("number kid", {"kid": 1}),
    ("long kid", {"kid": "k" * 257}),
    ("exponent 3", {"e": number(3)}),
    ("even exponent", {"e": number(65538)}),
    ("broken modulus", {"n": "!!"}),
    ("no modulus", {"n": None}),
    ("list modulus", {"n": ["AQAB"]}),
]


@pytest.mark.parametrize("change", [row[1] for row in ONE], ids=[row[0] for row in ONE])
def test_key_for_something_else_is_left_out(
    good: dict[str, object], signing_keys: list[SigningKey], change: dict[str, object]
) -> None:
    """V10"""
    unfit = {**good, **change}
    assert list(read_jwks(document(unfit, signing_keys[1].jwk))) == ["key-two"]


def test_short_key_is_left_out(signing_keys: list[SigningKey]) -> None:
    """V10"""
    short = SigningKey("short", generate_private_key(65537, 1024))
    assert list(read_jwks(document(short.jwk, signing_keys[0].jwk))) == ["key-one"]


def roca_modulus() -> int:
    """Two numbers of the shape the broken generator gave its primes."""
    product = 1
    for prime in (n for n in range(3, 702) if all(n % each for each in range(2, int(n**0.5) + 1))):
        product *= prime  # odd, like the halves below
    powers = [pow(65537, exponent, product) for exponent in (71, 12345)]
    halves = [(2**55 + 1 - power % 2) * product + power for power in powers]
    return halves[0] * halves[1]


def test_key_of_the_broken_infineon_generator_is_left_out(signing_keys: list[SigningKey]) -> None:
    """V10; CVE-2017-15361"""
    modulus = roca_modulus()
    assert has_roca_fingerprint(modulus)
    assert not any(has_roca_fingerprint(key.private.public_key().public_numbers().n) for key in signing_keys)
    weak = {"kty": "RSA", "kid": "roca", "n": number(modulus), "e": "AQAB"}
    assert RSAPublicNumbers(65537, modulus).public_key().key_size >= 2048
    assert list(read_jwks(document(weak, signing_keys[0].jwk))) == ["key-one"]
