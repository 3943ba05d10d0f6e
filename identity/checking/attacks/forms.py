"""One token has one spelling (V02, V08, V09): cut, bent, stuffed and otherwise written tokens."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Final

from identity.checking.attacks.attack import TOO_LARGE, Attack, Level
from identity.checking.material import Material
from identity.testing.keys import base64url, to_json

_DEEP: Final = 2_000
_HUGE: Final = 150_000
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def signature_emptied(material: Material) -> str:
    """the signature is empty"""
    return _unsigned(material) + "."


def signature_missing(material: Material) -> str:
    """two segments, the signature is gone"""
    return _unsigned(material)


def signature_bent(material: Material) -> str:
    """one bit of the signature is flipped"""
    head, signature = material.token().rsplit(".", 1)
    raw = bytearray(urlsafe_b64decode(signature + "=="))
    raw[100] ^= 1
    return f"{head}.{base64url(bytes(raw))}"


def signature_shortened(material: Material) -> str:
    """the last byte of the signature is gone"""
    head, signature = material.token().rsplit(".", 1)
    return f"{head}.{base64url(urlsafe_b64decode(signature + '==')[:-1])}"


def signature_all_zero(material: Material) -> str:
    """the signature is zeros only"""
    return f"{_unsigned(material)}.{base64url(bytes(256))}"


def payload_replaced(material: Material) -> str:
    """another person in the payload, under the old signature"""
    header, _, signature = material.token().split(".")
    return f"{header}.{base64url(to_json(material.claims(sub='root')))}.{signature}"


def signature_of_another_token(material: Material) -> str:
    """the signature of another token"""
    return f"{_unsigned(material)}.{material.token().rsplit('.', 1)[1]}"


def padding_added(material: Material) -> str:
    """a = at the end"""
    return material.token() + "=="


def unused_bits_set(material: Material) -> str:
    """the last character has bits nobody needs: a second spelling of the same token"""
    token = material.token()
    return token[:-1] + _ALPHABET[_ALPHABET.index(token[-1]) | 1]


def whitespace_inside(material: Material) -> str:
    """a space after the first dot"""
    return material.token().replace(".", ". ", 1)


def characters_of_another_alphabet(material: Material) -> str:
    """+ and / instead of - and _"""
    return material.token(note="???>>>~~~").replace("-", "+").replace("_", "/")


def junk_in_the_signature(material: Material) -> str:
    """characters that lax decoders skip, within the signature"""
    token = material.token()
    return f"{token[:-20]}!*{token[-20:]}"


def four_segments(material: Material) -> str:
    """a fourth segment"""
    return material.token() + ".AAAA"


def encrypted(material: Material) -> str:
    """five segments: an encrypted token, alg dir"""
    head = base64url(to_json({"alg": "dir", "enc": "A256GCM", "typ": "at+jwt", "kid": material.key.kid}))
    return f"{head}..{base64url(bytes(12))}.{base64url(to_json(material.claims()))}.{base64url(bytes(16))}"


def encrypted_with_a_slow_password(material: Material) -> str:
    """an encrypted token whose password takes two thousand million rounds to check"""
    head = {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31 - 1, "p2s": base64url(bytes(16))}
    parts = (bytes(24), bytes(12), to_json(material.claims()), bytes(16))
    return ".".join([base64url(to_json(head)), *map(base64url, parts)])


def json_serialisation(material: Material) -> str:
    """a good token, written as JSON"""
    protected, payload, signature = material.token().split(".")
    return to_json({"protected": protected, "payload": payload, "signature": signature}).decode()


def json_and_compact_mixed(material: Material) -> str:
    """a token for another service as JSON, in which a second parser finds a forged one for us (CVE-2022-39227)"""
    protected, payload, signature = material.token(aud="https://another.example").split(".")
    forged = base64url(to_json(material.claims()))
    members = {f"  {protected}.{forged}.": "", "protected": protected, "payload": payload, "signature": signature}
    return to_json(members).decode()


def payload_an_array(material: Material) -> str:
    """the payload is an array"""
    return material.key.sign(material.header(), to_json([material.claims()]))


def payload_a_string(material: Material) -> str:
    """the payload is a string"""
    return material.key.sign(material.header(), to_json("claims"))


def payload_empty(material: Material) -> str:
    """the payload is empty"""
    return material.key.sign(material.header(), b"")


def payload_in_utf_16(material: Material) -> str:
    """the payload is UTF-16"""
    return material.key.sign(material.header(), to_json(material.claims()).decode().encode("utf-16"))


def payload_not_utf_8(material: Material) -> str:
    """a byte in the payload that is no UTF-8"""
    return material.key.sign(material.header(), to_json(material.claims(note="~")).replace(b"~", b"\xff"))


def payload_with_a_mark(material: Material) -> str:
    """a byte order mark before the payload"""
    return material.key.sign(material.header(), b"\xef\xbb\xbf" + to_json(material.claims()))


def payload_followed_by_more(material: Material) -> str:
    """a second object after the payload"""
    return material.key.sign(material.header(), to_json(material.claims()) + b'{"sub":"root"}')


def nested_deep(material: Material) -> str:
    """arrays nested two thousand deep, in the payload"""
    payload = to_json(material.claims())[:-1] + b',"deep":' + b"[" * _DEEP + b"]" * _DEEP + b"}"
    return material.key.sign(material.header(), payload)


def nested_deep_and_forged(material: Material) -> str:
    """arrays nested two thousand deep, in the header of a token nobody signed"""
    header = to_json(material.header())[:-1] + b',"deep":' + b"[" * _DEEP + b"]" * _DEEP + b"}"
    return material.stranger.sign(header, material.claims())


def huge(material: Material) -> str:
    """a token of 200 kB"""
    return material.token(note="n" * _HUGE)


def empty(_: Material) -> str:
    """nothing where the token belongs"""
    return ""


def dots_only(_: Material) -> str:
    """two dots"""
    return ".."


def many_dots(_: Material) -> str:
    """four thousand dots"""
    return "." * 4000


def not_ascii(material: Material) -> str:
    """letters that no token has"""
    return material.token() + "\xe9\xff"


def _unsigned(material: Material) -> str:
    return material.unsigned()


ATTACKS: Final = (
    Attack("V02", signature_emptied),
    Attack("V02", signature_missing),
    Attack("V02", signature_bent),
    Attack("V02", signature_shortened),
    Attack("V02", signature_all_zero),
    Attack("V02", payload_replaced),
    Attack("V02", signature_of_another_token),
    Attack("V02", padding_added, Level.SHOULD),
    Attack("V02", unused_bits_set, Level.SHOULD),
    Attack("V02", whitespace_inside, Level.SHOULD),
    Attack("V02", characters_of_another_alphabet, Level.SHOULD),
    Attack("V02", junk_in_the_signature, Level.SHOULD),
    Attack("V02", four_segments, Level.SHOULD),
    Attack("V02", encrypted),
    Attack("V02", encrypted_with_a_slow_password),
    Attack("V02", json_serialisation, Level.SHOULD),
    Attack("V02", json_and_compact_mixed),
    Attack("V08", payload_an_array),
    Attack("V08", payload_a_string),
    Attack("V08", payload_empty),
    Attack("V08", payload_in_utf_16, Level.SHOULD),
    Attack("V08", payload_not_utf_8, Level.SHOULD),
    Attack("V08", payload_with_a_mark, Level.SHOULD),
    Attack("V08", payload_followed_by_more, Level.SHOULD),
    Attack("V09", nested_deep, Level.SHOULD, refused_by=TOO_LARGE),
    Attack("V09", nested_deep_and_forged, refused_by=TOO_LARGE),
    Attack("V09", huge, Level.SHOULD, refused_by=TOO_LARGE),
    Attack("V02", empty),
    Attack("V02", dots_only),
    Attack("V02", many_dots, refused_by=TOO_LARGE),
    Attack("V02", not_ascii),
)
