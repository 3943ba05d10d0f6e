"""Compact JWS (RFC 7515 section 7.1), parsed strictly: one token has one spelling, and garbage costs next to nothing."""

from __future__ import annotations

import json
import math
import re
from binascii import a2b_base64
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, NoReturn

from identity.verifier.errors import InvalidToken, Refusal
from identity.verifier.profile import ACCESS_TOKEN_TYPE, MAX_KEY_ID_CHARACTERS, MAX_TOKEN_BYTES

MAX_NESTING: Final = 16

_TYPES: Final = frozenset({ACCESS_TOKEN_TYPE, "application/" + ACCESS_TOKEN_TYPE})

FORBIDDEN_HEADERS: Final = frozenset({"crit", "b64", "zip", "jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256"})
"""Extensions we do not know, other encodings of the payload, and keys that the token itself would bring (V04)."""

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_REFUSED: Final = ord("!")
_TO_STANDARD: Final = bytes(
    byte if byte in _ALPHABET or byte == ord(".") else {ord("-"): ord("+"), ord("_"): ord("/")}.get(byte, _REFUSED)
    for byte in range(256)
)
"""base64url to base64. Whatever is neither base64url nor a dot becomes `!`, and one `!` refuses the token: `+`, `/`, `=`,
whitespace and control characters never get through (V02).."""

_PADDING: Final = (b"", b"", b"==", b"=")
_LAST: Final = (frozenset[int](), frozenset[int](), frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))
"""Last characters whose unused bits are zero, by length modulo 4. Others would be a second spelling of the same bytes."""

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""Possessive, and also without an end: a string that is never closed would be looked at again from each of its quotes."""
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


class KeyReference(NamedTuple):
    """What a token says it was signed with. Its key must be there, and have this very algorithm."""

    kid: str
    algorithm: str


def to_bytes(token: str) -> bytes:
    """Returns the token as bytes if its size is allowed (V09) and it is ASCII; nothing else is looked at."""
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise InvalidToken(Refusal.MALFORMED, "too long or not ASCII")
    return token.encode()


def split(token: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Returns header segment (still encoded), payload, signature and signing input, none of which may be believed yet.

    Raises `InvalidToken` unless there are three non-empty segments of canonical base64url. No JSON is read.
    """
    translated = token.translate(_TO_STANDARD)
    segments = translated.split(b".")
    if _REFUSED in translated or len(segments) != 3 or not segments[0]:
        raise InvalidToken(Refusal.MALFORMED, "not three segments of base64url")
    header, payload, signature = segments
    return header, _decode(payload), _decode(signature), token[: len(header) + len(payload) + 1]


def read_key_reference(header_segment: bytes, algorithms: Collection[str]) -> KeyReference:
    """Returns what a header names that asks for nothing but what we do, or raises `InvalidToken` (V01, V03, V04, V09)."""
    header = read_header(header_segment)
    if not FORBIDDEN_HEADERS.isdisjoint(header):
        raise InvalidToken(Refusal.FORBIDDEN_HEADER)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidToken(Refusal.WRONG_ALGORITHM)
    media_type = header.get("typ")
    if not isinstance(media_type, str) or media_type.lower() not in _TYPES:
        raise InvalidToken(Refusal.WRONG_TYPE)
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KEY_ID_CHARACTERS:
        raise InvalidToken(Refusal.MALFORMED, "kid is missing or too long")
    return KeyReference(kid, algorithm)


def read_header(header_segment: bytes) -> dict[str, object]:
    """Returns the members of a header segment that `split` returned, or raises `InvalidToken`; nothing is judged yet."""
    try:
        return strict_json_object(_decode(header_segment))
    except ValueError as error:
        raise InvalidToken(Refusal.MALFORMED, "header is not strict JSON") from error


def strict_json_object(data: bytes) -> dict[str, object]:
    """Returns a JSON object in which nothing is ambiguous, or raises `ValueError` (V08, V09).

    UTF-8 without BOM, no duplicate members, finite numbers, no NUL or lone surrogate in a string, at most 16 levels deep.
    """
    if data.count(b"{") + data.count(b"[") > MAX_NESTING and _is_too_deep(data):
        raise ValueError("nested too deep")
    text = data.decode().strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("not JSON") from None
    if end != len(text) or value.__class__ is not dict:
        raise ValueError("not one JSON object")
    if "\\" in text:
        _refuse_unwritable(value)
    members: dict[str, object] = value
    return members


def _decode(segment: bytes) -> bytes:
    """Decodes a translated segment. `a2b_base64` skips what it does not know, hence the alphabet was checked before."""
    if remainder := len(segment) & 3:
        if segment[-1] not in _LAST[remainder]:
            raise InvalidToken(Refusal.MALFORMED, "segment is not canonical base64url")
        return a2b_base64(segment + _PADDING[remainder])
    if not segment:
        raise InvalidToken(Refusal.MALFORMED, "empty segment")
    return a2b_base64(segment)


def _is_too_deep(data: bytes) -> bool:
    """Tells whether brackets nest too deep, or do not match. Told beforehand, because the parser would recurse
    (CVE-2025-61920): whatever is left when the innermost pairs were taken away often enough is too deep."""
    brackets = _STRINGS.sub(b"", data).translate(_ALIKE, _NO_BRACKETS)
    for _ in range(MAX_NESTING):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _refuse_unwritable(value: object) -> None:
    written = json.dumps(value, ensure_ascii=False)
    written.encode()
    if "\\u0000" in written:
        raise ValueError("NUL in a string")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


_decoder: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
_scan: Final[Callable[[str, int], tuple[Any, int]]] = vars(_decoder)["scan_once"]
"""The C scanner itself: `decode` would look for whitespace around every token once more."""
