"""From the payload of a token whose signature is good to a `VerifiedToken`: every claim present, typed and in time."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from identity.verifier.compact import strict_json_object
from identity.verifier.errors import InvalidToken, Refusal
from identity.verifier.profile import (
    CONFIRMATION_CLAIM,
    GRANT_CLAIM,
    MAX_ACCESS_TOKEN_LIFETIME,
    REVISION_CLAIM,
    SESSION_CLAIM,
    Confirmation,
)
from identity.verifier.token import VerifiedToken

_CONTAINERS: Final = frozenset({list, dict})
_TEXT: Final[frozenset[type]] = frozenset({str})
_NO_SCOPES: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say to be for us. `leeway` is in seconds; `revision`: the token must carry `rev`."""

    issuer: str
    audience: str
    leeway: float
    revision: bool


def read_claims(payload: bytes, key_id: str, expected: Expected, now: float) -> VerifiedToken:
    """Returns the token, or raises `InvalidToken`. `now` is wall-clock time in Unix seconds (RFC 9068 section 4)."""
    try:
        claims = strict_json_object(payload)
    except ValueError as error:
        raise InvalidToken(Refusal.MALFORMED, "payload is not strict JSON") from error
    if claims.get("iss") != expected.issuer:
        raise InvalidToken(Refusal.WRONG_ISSUER)
    audience = _audience(claims.get("aud"))
    if expected.audience not in audience:
        raise InvalidToken(Refusal.WRONG_AUDIENCE)
    issued_at, expires_at = _check_times(claims, expected.leeway, now)
    if expected.revision and _whole(claims, REVISION_CLAIM) < 0:
        raise InvalidToken(Refusal.INVALID_CLAIMS, f"{REVISION_CLAIM} is negative")
    return VerifiedToken(
        _text(claims, "sub"),
        _text(claims, "client_id"),
        audience,
        _scopes(claims.get("scope")),
        issued_at,
        expires_at,
        _text(claims, "jti"),
        _text(claims, GRANT_CLAIM) if GRANT_CLAIM in claims else None,
        _text(claims, SESSION_CLAIM) if SESSION_CLAIM in claims else None,
        _texts(claims, "roles") if "roles" in claims else (),
        _whole(claims, "auth_time") if "auth_time" in claims else None,
        key_id,
        _read_only(claims),
        Confirmation.of(claims[CONFIRMATION_CLAIM]) if CONFIRMATION_CLAIM in claims else None,
    )


def _check_times(claims: dict[str, object], leeway: float, now: float) -> tuple[int, int]:
    """Returns `iat` and `exp` if the token is alive and was not made to live too long (V07, RFC 7519 section 4.1)."""
    issued_at, expires_at = _whole(claims, "iat"), _whole(claims, "exp")
    if now >= expires_at + leeway:
        raise InvalidToken(Refusal.EXPIRED)
    if issued_at > now + leeway or ("nbf" in claims and _whole(claims, "nbf") > now + leeway):
        raise InvalidToken(Refusal.NOT_YET_VALID)
    if expires_at - issued_at > MAX_ACCESS_TOKEN_LIFETIME:
        raise InvalidToken(Refusal.TOO_LONG_LIVED)
    return issued_at, expires_at


def _text(claims: dict[str, object], name: str) -> str:
    value = claims.get(name)
    if value.__class__ is not str or not value:  # `isinstance` would cost twice as much
        raise InvalidToken(Refusal.INVALID_CLAIMS, f"{name} is missing, empty or not a string")
    return value


def _whole(claims: dict[str, object], name: str) -> int:
    value = claims.get(name)
    if value.__class__ is not int:  # a bool has another class
        raise InvalidToken(Refusal.INVALID_CLAIMS, f"{name} is missing or not an integer")
    return value


def _texts(claims: dict[str, object], name: str) -> tuple[str, ...]:
    values = claims.get(name)
    if not isinstance(values, list) or not _TEXT.issuperset(map(type, values)) or "" in values:
        raise InvalidToken(Refusal.INVALID_CLAIMS, f"{name} is not an array of strings")
    return tuple(values)


def _audience(value: object) -> tuple[str, ...]:
    if isinstance(value, str) and value:
        return (value,)
    return _texts({"aud": value}, "aud")


def _scopes(value: object) -> frozenset[str]:
    if value is None:
        return _NO_SCOPES
    if not isinstance(value, str):
        raise InvalidToken(Refusal.INVALID_CLAIMS, "scope is not a string")
    return frozenset(filter(None, value.split(" ")))


def _read_only(claims: dict[str, object]) -> MappingProxyType[str, object]:
    for name, value in claims.items():
        if value.__class__ in _CONTAINERS:
            claims[name] = _frozen(value)
    return MappingProxyType(claims)


def _frozen(value: object) -> object:
    if isinstance(value, list):
        return tuple(value) if _CONTAINERS.isdisjoint(map(type, value)) else tuple(map(_frozen, value))
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    return value
