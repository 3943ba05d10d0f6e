"""Tokens that must be refused although they come close, each signed with the right key unless that is the point."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from fake_issuer import AUDIENCE, FakeIssuer, compact_json

from identity.verifier import InvalidToken, Refusal, Verifier

NOW = int(time.time())


async def refusal(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    assert not token or token not in str(caught.value) + repr(caught.value)
    return caught.value.code


async def test_good_token_is_verified_with_all_it_says(verifier: Verifier, issuer: FakeIssuer) -> None:
    token = await verifier.verify(
        issuer.mint(scope="orders:read orders:write", roles=["clerk"], sid="s1", auth_time=NOW, amr=["pwd"])
    )
    assert (token.subject, token.client_id, token.audience) == ("alice", "demo", (AUDIENCE,))
    assert token.scopes == {"orders:read", "orders:write"}
    assert (token.grant_id, token.session_id, token.roles, token.auth_time) == ("g1", "s1", ("clerk",), NOW)
    assert (token.key_id, token.is_client, token.expires_at - token.issued_at) == ("key-one", False, 600)
    assert token.claims["amr"] == ("pwd",)


async def test_claims_cannot_be_changed_by_whoever_gets_them(verifier: Verifier, issuer: FakeIssuer) -> None:
    """One object serves every request with the same token, so nobody may write into it."""
    token = await verifier.verify(issuer.mint(roles=["clerk"], deep={"list": [{"a": 1}]}))
    with pytest.raises(TypeError):
        token.claims["sub"] = "admin"  # type: ignore[index]
    with pytest.raises(TypeError):
        token.claims["deep"]["list"][0]["a"] = 2  # type: ignore[index]
    with pytest.raises(AttributeError):
        token.claims["roles"].append("admin")  # type: ignore[attr-defined]


async def test_service_token_is_never_a_person(verifier: Verifier, issuer: FakeIssuer) -> None:
    """V16"""
    assert (await verifier.verify(issuer.mint(sub="client:billing", client_id="billing"))).is_client


GOOD_HEADER = {"alg": "RS256", "typ": "at+jwt", "kid": "key-one"}
HEADERS: list[tuple[str, dict[str, object], Refusal]] = [
    ("V01 none", {"alg": "none"}, Refusal.WRONG_ALGORITHM),
    ("V01 case", {"alg": "rs256"}, Refusal.WRONG_ALGORITHM),
    ("V01 None", {"alg": None}, Refusal.WRONG_ALGORITHM),
    ("V01 RS384", {"alg": "RS384"}, Refusal.WRONG_ALGORITHM),
    ("V01 PS256", {"alg": "PS256"}, Refusal.WRONG_ALGORITHM),
    ("V01 HS256", {"alg": "HS256"}, Refusal.WRONG_ALGORITHM),
    ("V01 list", {"alg": ["RS256"]}, Refusal.WRONG_ALGORITHM),
    ("V03 no typ", {"typ": None}, Refusal.WRONG_TYPE),
    ("V03 JWT", {"typ": "JWT"}, Refusal.WRONG_TYPE),
    ("V03 logout token", {"typ": "logout+jwt"}, Refusal.WRONG_TYPE),
    ("V03 prefix", {"typ": "at+jwt2"}, Refusal.WRONG_TYPE),
    ("V03 parameter", {"typ": "at+jwt; a=b"}, Refusal.WRONG_TYPE),
    ("V03 list", {"typ": ["at+jwt"]}, Refusal.WRONG_TYPE),
    ("V04 crit", {"crit": ["exp"]}, Refusal.FORBIDDEN_HEADER),
    ("V04 empty crit", {"crit": []}, Refusal.FORBIDDEN_HEADER),
    ("V04 b64", {"b64": True}, Refusal.FORBIDDEN_HEADER),
    ("V04 b64 false", {"b64": False, "crit": ["b64"]}, Refusal.FORBIDDEN_HEADER),
    ("V04 zip", {"zip": "DEF"}, Refusal.FORBIDDEN_HEADER),
    ("V04 jku", {"jku": "https://evil.example/jwks"}, Refusal.FORBIDDEN_HEADER),
    ("V04 x5u", {"x5u": "https://evil.example/x"}, Refusal.FORBIDDEN_HEADER),
    ("V04 jwk", {"jwk": {"kty": "RSA"}}, Refusal.FORBIDDEN_HEADER),
    ("V04 x5c", {"x5c": ["MII"]}, Refusal.FORBIDDEN_HEADER),
    ("V04 x5t", {"x5t": "abc"}, Refusal.FORBIDDEN_HEADER),
    ("V04 x5t#S256", {"x5t#S256": "abc"}, Refusal.FORBIDDEN_HEADER),
    ("V09 no kid", {"kid": None}, Refusal.MALFORMED),
    ("V09 empty kid", {"kid": ""}, Refusal.MALFORMED),
    ("V09 int kid", {"kid": 1}, Refusal.MALFORMED),
    ("V09 long kid", {"kid": "k" * 257}, Refusal.MALFORMED),
    ("V09 nesting", {"x": json.loads("[" * 16 + "]" * 16)}, Refusal.MALFORMED),
    ("V11 path kid", {"kid": "../../etc/passwd"}, Refusal.UNKNOWN_KEY),
    ("V11 SQL kid", {"kid": "' OR 1=1 --"}, Refusal.UNKNOWN_KEY),
    ("V11 URL kid", {"kid": "http://evil.example/k"}, Refusal.UNKNOWN_KEY),
]


@pytest.mark.parametrize(("header", "code"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS])
async def test_header_that_asks_for_more_than_we_do_is_refused(
    verifier: Verifier, issuer: FakeIssuer, header: dict[str, object], code: Refusal
) -> None:
    """V01, V03, V04, V09, V11"""
    assert await refusal(verifier, issuer.mint(header=header)) == code


@pytest.mark.parametrize("media_type", ["at+jwt", "AT+JWT", "application/at+jwt", "application/AT+jwt"])
async def test_both_spellings_of_the_type_are_taken(verifier: Verifier, issuer: FakeIssuer, media_type: str) -> None:
    """V03"""
    await verifier.verify(issuer.mint(header={"typ": media_type}))


def at(offset: int) -> Callable[[], int]:
    """A time counted from when the token is made, however long ago these tests were collected."""
    return lambda: int(time.time()) + offset


CLAIMS: list[tuple[str, dict[str, object], Refusal]] = [
    ("V05 other iss", {"iss": "https://evil.example"}, Refusal.WRONG_ISSUER),
    ("V05 no iss", {"iss": None}, Refusal.WRONG_ISSUER),
    ("V05 list iss", {"iss": ["x"]}, Refusal.WRONG_ISSUER),
    ("V06 other aud", {"aud": "http://billing.example"}, Refusal.WRONG_AUDIENCE),
    ("V06 part of aud", {"aud": AUDIENCE + "/x"}, Refusal.WRONG_AUDIENCE),
    ("V06 no aud", {"aud": None}, Refusal.INVALID_CLAIMS),
    ("V06 empty aud", {"aud": ""}, Refusal.INVALID_CLAIMS),
    ("V06 no aud in list", {"aud": []}, Refusal.WRONG_AUDIENCE),
    ("V06 odd aud", {"aud": [AUDIENCE, 1]}, Refusal.INVALID_CLAIMS),
    ("V06 empty aud in list", {"aud": [AUDIENCE, ""]}, Refusal.INVALID_CLAIMS),
    ("V06 object aud", {"aud": {AUDIENCE: 1}}, Refusal.INVALID_CLAIMS),
    ("V07 no exp", {"exp": None}, Refusal.INVALID_CLAIMS),
    ("V07 text exp", {"exp": str(NOW + 600)}, Refusal.INVALID_CLAIMS),
    ("V07 float exp", {"exp": NOW + 600.5}, Refusal.INVALID_CLAIMS),
    ("V07 bool exp", {"exp": True}, Refusal.INVALID_CLAIMS),
    ("V07 text iat", {"iat": str(NOW)}, Refusal.INVALID_CLAIMS),
    ("V07 no iat", {"iat": None}, Refusal.INVALID_CLAIMS),
    ("V07 bool nbf", {"nbf": False}, Refusal.INVALID_CLAIMS),
    ("V07 past exp", {"iat": at(-700), "exp": at(-31)}, Refusal.EXPIRED),
    ("V07 future iat", {"iat": at(100), "exp": at(200)}, Refusal.NOT_YET_VALID),
    ("V07 future nbf", {"nbf": at(100)}, Refusal.NOT_YET_VALID),
    ("V07 year 9999", {"exp": 253402300799}, Refusal.TOO_LONG_LIVED),
    ("V07 16 minutes", {"iat": at(-1), "exp": at(900)}, Refusal.TOO_LONG_LIVED),
    ("V08 no sub", {"sub": None}, Refusal.INVALID_CLAIMS),
    ("V08 empty sub", {"sub": ""}, Refusal.INVALID_CLAIMS),
    ("V08 int sub", {"sub": 1}, Refusal.INVALID_CLAIMS),
    ("V08 no client_id", {"client_id": None}, Refusal.INVALID_CLAIMS),
    ("V08 list client_id", {"client_id": ["demo"]}, Refusal.INVALID_CLAIMS),
    ("V08 no jti", {"jti": None}, Refusal.INVALID_CLAIMS),
    ("V08 list jti", {"jti": ["a"]}, Refusal.INVALID_CLAIMS),
    ("V08 list scope", {"scope": ["orders:read"]}, Refusal.INVALID_CLAIMS),
    ("V08 text roles", {"roles": "admin"}, Refusal.INVALID_CLAIMS),
    ("V08 odd roles", {"roles": ["admin", 1]}, Refusal.INVALID_CLAIMS),
    ("V08 int grant_id", {"grant_id": 1}, Refusal.INVALID_CLAIMS),
    ("V08 empty sid", {"sid": ""}, Refusal.INVALID_CLAIMS),
    ("V08 text auth_time", {"auth_time": "now"}, Refusal.INVALID_CLAIMS),
    ("V13 bound", {"cnf": {"jkt": "abc"}}, Refusal.SENDER_CONSTRAINED),
    ("V13 certificate", {"cnf": {"x5t#S256": "abc"}}, Refusal.SENDER_CONSTRAINED),
    ("V13 odd cnf", {"cnf": 0}, Refusal.SENDER_CONSTRAINED),
]


@pytest.mark.parametrize(("claims", "code"), [row[1:] for row in CLAIMS], ids=[row[0] for row in CLAIMS])
async def test_claim_that_is_wrong_missing_or_mistyped_is_refused(
    verifier: Verifier, issuer: FakeIssuer, claims: dict[str, object], code: Refusal
) -> None:
    """V05, V06, V07, V08, V13"""
    made = {name: value() if callable(value) else value for name, value in claims.items()}
    assert await refusal(verifier, issuer.mint(**made)) == code


async def test_audience_may_be_one_of_several(verifier: Verifier, issuer: FakeIssuer) -> None:
    """V06"""
    assert (await verifier.verify(issuer.mint(aud=["x", AUDIENCE]))).audience == ("x", AUDIENCE)


async def test_leeway_forgives_a_little_and_no_more(verifier_of: Callable[..., Verifier], issuer: FakeIssuer) -> None:
    """V07"""
    now = [float(NOW)]
    verifier = verifier_of(clock=lambda: now[0], leeway=30)
    token = issuer.mint(iat=NOW, exp=NOW + 600)
    for moment in (NOW - 30, NOW + 629.9):
        now[0] = moment
        await verifier.verify(token)
    now[0] = NOW + 630
    assert await refusal(verifier, token) == Refusal.EXPIRED  # also when it is remembered
    now[0] = NOW - 31.0
    assert await refusal(verifier, issuer.mint(iat=NOW, exp=NOW + 601)) == Refusal.NOT_YET_VALID


PAYLOADS: list[tuple[str, Callable[[dict[str, object]], bytes]]] = [
    ("duplicate member", lambda claims: compact_json(claims)[:-1] + b',"sub":"admin"}'),
    ("duplicate after unescaping", lambda claims: compact_json(claims)[:-1] + b',"s\\u0075b":"admin"}'),
    ("duplicate deep inside", lambda claims: compact_json(claims)[:-1] + b',"x":{"a":1,"a":2}}'),
    ("UTF-16", lambda claims: json.dumps(claims).encode("utf-16")),
    ("BOM", lambda claims: b"\xef\xbb\xbf" + compact_json(claims)),
    ("not UTF-8", lambda claims: compact_json(claims)[:-1] + b',"x":"\xff"}'),
    ("NaN", lambda claims: compact_json(claims)[:-1] + b',"x":NaN}'),
    ("Infinity", lambda claims: compact_json(claims)[:-1] + b',"x":-Infinity}'),
    ("overflow", lambda claims: compact_json(claims)[:-1] + b',"x":1e999}'),
    ("huge integer", lambda claims: compact_json(claims)[:-1] + b',"x":' + b"9" * 5000 + b"}"),
    ("17 levels", lambda claims: compact_json(claims)[:-1] + b',"x":' + b"[" * 16 + b"]" * 16 + b"}"),
    ("2000 levels", lambda claims: compact_json(claims)[:-1] + b',"x":' + b"[" * 2000 + b"]" * 2000 + b"}"),
    ("NUL", lambda claims: compact_json({**claims, "sub": "a\0b"})),
    ("lone surrogate", lambda claims: compact_json({**claims, "sub": "\ud800"})),
    ("array", lambda claims: b"[" + compact_json(claims) + b"]"),
    ("two objects", lambda claims: compact_json(claims) + b"{}"),
    ("empty object cut", lambda claims: b"{"),
    ("null", lambda claims: b"null"),
    ("control character", lambda claims: compact_json(claims)[:-1] + b',"x":"\n"}'),
]


@pytest.mark.parametrize("payload", [row[1] for row in PAYLOADS], ids=[row[0] for row in PAYLOADS])
async def test_payload_that_can_be_read_in_two_ways_is_refused(
    verifier: Verifier, issuer: FakeIssuer, payload: Callable[[dict[str, object]], bytes]
) -> None:
    """V08, V09"""
    token = issuer.keys[0].sign(compact_json(GOOD_HEADER), payload(issuer.claims()))
    assert await refusal(verifier, token) == Refusal.MALFORMED


async def test_unicode_and_sixteen_levels_are_fine(verifier: Verifier, issuer: FakeIssuer) -> None:
    """V08, V09: brackets inside strings do not count."""
    token = issuer.mint(name="Zoë \u20ac \U0001f600", text="[" * 100 + '\\"', x=json.loads("[" * 15 + "]" * 15))
    assert (await verifier.verify(token)).claims["name"] == "Zoë \u20ac \U0001f600"
