"""Signers and the JWKS: kid and key always belong together, and only public members leave (K02, K03, K04)."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from identity.keyring.public_keys import public_jwk, published_key
from identity.keyring.signers import PublishedKeys, RefreshAuthenticator, Signer
from identity.verifier import profile
from identity.verifier.jwk import thumbprint
from identity.verifier.public_keys import read_jwks

RFC_7638_EXAMPLE = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
    "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5haj"
    "rn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_the_thumbprint_is_that_of_the_rfcs_example() -> None:
    """K02, RFC 7638 section 3.1"""
    assert thumbprint(RFC_7638_EXAMPLE) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_kid_of_a_key_is_its_thumbprint(key: rsa.RSAPrivateKey) -> None:
    """K02"""
    jwk = public_jwk(key.public_key())
    assert jwk["kid"] == thumbprint(jwk)
    assert published_key(jwk).key.public_numbers() == key.public_key().public_numbers()


def test_a_jwk_has_public_members_only(key: rsa.RSAPrivateKey) -> None:
    """K03"""
    jwk = public_jwk(key.public_key())
    assert set(jwk) == {"kty", "n", "e", "kid", "use", "alg"}
    assert (jwk["use"], jwk["alg"], jwk["e"]) == ("sig", "RS256", "AQAB")


@pytest.mark.parametrize("typ", [profile.ACCESS_TOKEN_TYPE, profile.LEGACY_TOKEN_TYPE])
def test_the_kid_of_a_token_is_the_key_that_signed_it(key: rsa.RSAPrivateKey, typ: str) -> None:
    """K02"""
    kid = public_jwk(key.public_key())["kid"]
    token = Signer.of(kid, key).sign(typ, json.dumps({"sub": "ü"}).encode())
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": typ, "kid": kid}
    assert jwt.decode(token, key.public_key(), algorithms=["RS256"]) == {"sub": "ü"}


def test_the_published_document_is_what_a_verifier_reads(key: rsa.RSAPrivateKey) -> None:
    """K03"""
    other = rsa.generate_private_key(65537, 2048)
    published = PublishedKeys.of(public_jwk(each.public_key()) for each in (key, other))
    assert tuple(read_jwks(published.body)) == published.kids
    assert published.version == PublishedKeys.of(json.loads(published.body)["keys"]).version
    assert published.version != PublishedKeys.of([public_jwk(key.public_key())]).version


def test_neither_signers_nor_authenticators_show_their_keys(key: rsa.RSAPrivateKey) -> None:
    """K05"""
    secret = b"0123456789abcdef0123456789abcdef"
    authenticator = RefreshAuthenticator("abcd", {"abcd": secret})
    for text in (repr(authenticator), str(authenticator), repr(Signer.of("kid", key))):
        assert "0123456789" not in text
        assert base64.b64encode(secret).decode() not in text
        assert "RSAPrivateKey" not in text


def test_a_mac_of_one_key_is_not_authentic_under_another() -> None:
    """K04"""
    authenticator = RefreshAuthenticator("new1", {"new1": b"a" * 32, "old1": b"b" * 32})
    mac = authenticator.mac("old1", "message")
    assert authenticator.is_authentic("old1", "message", mac)
    assert not authenticator.is_authentic("new1", "message", mac)
    assert not authenticator.is_authentic("gone", "message", mac)
    assert not authenticator.is_authentic("old1", "messagf", mac)
