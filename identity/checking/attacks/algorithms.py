"""The algorithm is the issuer's choice, never the token's (V01): unsigned tokens, and public keys used as secrets."""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from identity.checking.attacks.attack import Attack, Level
from identity.checking.material import Material
from identity.testing.keys import base64url, to_json


def alg_none(material: Material) -> str:
    """alg none, no signature"""
    return material.unsigned({"alg": "none"}) + "."


def alg_none_in_capitals(material: Material) -> str:
    """alg NONE, no signature"""
    return material.unsigned({"alg": "NONE"}) + "."


def alg_none_in_mixed_case(material: Material) -> str:
    """alg nOnE, no signature"""
    return material.unsigned({"alg": "nOnE"}) + "."


def alg_none_with_a_signature(material: Material) -> str:
    """alg none, and some bytes where the signature belongs"""
    return material.unsigned({"alg": "none"}) + "." + base64url(b"signature")


def alg_none_without_a_kid(material: Material) -> str:
    """alg none, no kid, no signature"""
    return material.unsigned({"alg": "none", "kid": None}) + "."


def alg_missing(material: Material) -> str:
    """no alg, no signature"""
    return material.unsigned({"alg": None}) + "."


def alg_empty(material: Material) -> str:
    """alg is the empty string, no signature"""
    return material.unsigned({"alg": ""}) + "."


def alg_unknown(material: Material) -> str:
    """an algorithm nobody knows, and some bytes as signature"""
    return material.unsigned({"alg": "XX999"}) + "." + base64url(bytes(256))


def alg_not_a_string(material: Material) -> str:
    """alg is an array with RS256 and none"""
    return material.unsigned({"alg": ["RS256", "none"]}) + "."


def hs256_with_the_pem(material: Material) -> str:
    """HS256, the secret is the public key as PEM"""
    return _with_secret(material, _public(material, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def hs256_with_the_pem_in_one_piece(material: Material) -> str:
    """HS256, the secret is the public key as PEM without its last newline"""
    return _with_secret(material, _public(material, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).rstrip())


def hs256_with_the_pkcs1_pem(material: Material) -> str:
    """HS256, the secret is the public key as PKCS#1 PEM"""
    return _with_secret(material, _public(material, Encoding.PEM, PublicFormat.PKCS1))


def hs256_with_the_der(material: Material) -> str:
    """HS256, the secret is the public key as DER"""
    return _with_secret(material, _public(material, Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def hs256_with_the_pkcs1_der(material: Material) -> str:
    """HS256, the secret is the public key as PKCS#1 DER"""
    return _with_secret(material, _public(material, Encoding.DER, PublicFormat.PKCS1))


def hs256_with_the_ssh_key(material: Material) -> str:
    """HS256, the secret is the public key as OpenSSH writes it"""
    return _with_secret(material, _public(material, Encoding.OpenSSH, PublicFormat.OpenSSH))


def hs256_with_the_jwk(material: Material) -> str:
    """HS256, the secret is the public key as JWK"""
    return _with_secret(material, to_json(material.key.jwk))


def hs256_with_the_modulus(material: Material) -> str:
    """HS256, the secret is the n of the JWK"""
    return _with_secret(material, material.key.jwk["n"].encode())


def hs256_with_an_empty_secret(material: Material) -> str:
    """HS256, the secret is empty"""
    return _with_secret(material, b"")


def hs512_with_the_pem(material: Material) -> str:
    """HS512, the secret is the public key as PEM"""
    return _with_secret(material, _public(material, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "HS512", "sha512")


def es256_with_an_own_key(material: Material) -> str:
    """ES256 by an elliptic key of the attacker's, in the name of the RSA key"""
    head = material.unsigned({"alg": "ES256"})
    numbers = decode_dss_signature(ec.generate_private_key(ec.SECP256R1()).sign(head.encode(), ec.ECDSA(SHA256())))
    return f"{head}.{base64url(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


def es256_over_an_rsa_signature(material: Material) -> str:
    """the header says ES256, the signature is RS256 by the issuer's key"""
    return material.token({"alg": "ES256"})


def ps256_by_the_right_key(material: Material) -> str:
    """PS256 by the issuer's key, which is published for RS256"""
    head = material.unsigned({"alg": "PS256"}).encode()
    return f"{head.decode()}.{base64url(material.key.private.sign(head, PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH), SHA256()))}"


def rs512_by_the_right_key(material: Material) -> str:
    """RS512 by the issuer's key, which is published for RS256"""
    head = material.unsigned({"alg": "RS512"}).encode()
    return f"{head.decode()}.{base64url(material.key.private.sign(head, PKCS1v15(), SHA512()))}"


def alg_in_lower_case(material: Material) -> str:
    """rs256 instead of RS256, rightly signed; names of algorithms are case-sensitive"""
    return material.token({"alg": "rs256"})


def signed_by_a_stranger(material: Material) -> str:
    """RS256 by the attacker's key, in the name of the issuer's"""
    return material.forged()


def signed_by_an_unknown_key(material: Material) -> str:
    """RS256 by the attacker's key, under its own kid"""
    return material.forged({"kid": material.stranger.kid})


def _with_secret(material: Material, secret: bytes, alg: str = "HS256", digest: str = "sha256") -> str:
    head = material.unsigned({"alg": alg})
    return f"{head}.{base64url(hmac.digest(secret, head.encode(), digest))}"


def _public(material: Material, encoding: Encoding, form: PublicFormat) -> bytes:
    return material.key.private.public_key().public_bytes(encoding, form)


ATTACKS: Final = (
    Attack("V01", alg_none),
    Attack("V01", alg_none_in_capitals),
    Attack("V01", alg_none_in_mixed_case),
    Attack("V01", alg_none_with_a_signature),
    Attack("V01", alg_none_without_a_kid),
    Attack("V01", alg_missing),
    Attack("V01", alg_empty),
    Attack("V01", alg_unknown),
    Attack("V01", alg_not_a_string),
    Attack("V01", hs256_with_the_pem),
    Attack("V01", hs256_with_the_pem_in_one_piece),
    Attack("V01", hs256_with_the_pkcs1_pem),
    Attack("V01", hs256_with_the_der),
    Attack("V01", hs256_with_the_pkcs1_der),
    Attack("V01", hs256_with_the_ssh_key),
    Attack("V01", hs256_with_the_jwk),
    Attack("V01", hs256_with_the_modulus),
    Attack("V01", hs256_with_an_empty_secret),
    Attack("V01", hs512_with_the_pem),
    Attack("V01", es256_with_an_own_key),
    Attack("V01", es256_over_an_rsa_signature, Level.SHOULD),
    Attack("V01", ps256_by_the_right_key, Level.SHOULD),
    Attack("V01", rs512_by_the_right_key, Level.SHOULD),
    Attack("V01", alg_in_lower_case, Level.SHOULD),
    Attack("V10", signed_by_a_stranger),
    Attack("V10", signed_by_an_unknown_key),
)
