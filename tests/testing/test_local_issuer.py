"""The issuer for services' tests, seen by a real verifier over HTTP: what it promises to do, it does."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from identity.testing import LocalIssuer
from identity.testing.issuer import FEED_PATH, JWKS_PATH
from identity.verifier import ANONYMOUS, InvalidToken, KeysUnavailable, Verifier
from identity.verifier.feed_answers import read_answer

AUDIENCE = "https://orders.example"


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(AUDIENCE) as issuer:
        yield issuer


@pytest.fixture
async def verifier(issuer: LocalIssuer) -> AsyncIterator[Verifier]:
    async with Verifier(issuer.url, AUDIENCE, credential=ANONYMOUS, clock=issuer.clock, cooldown=0.0) as verifier:
        yield verifier


async def refusal(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    return caught.value.code


async def applied(issuer: LocalIssuer) -> None:
    await asyncio.to_thread(issuer.wait_until_applied)


async def test_a_token_says_what_was_asked_for(issuer, verifier):
    token = await verifier.verify(issuer.token("bob", ["orders:read", "orders:write"], roles=["clerk"], sid="s1"))
    assert (token.subject, token.client_id) == ("bob", "demo")
    assert token.scopes == {"orders:read", "orders:write"}
    assert (token.roles, token.session_id) == (("clerk",), "s1")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"expires_in": -60}, "expired"),
        ({"without": "exp"}, "invalid_claims"),
        ({"without": ("jti", "sub")}, "invalid_claims"),
        ({"typ": "JWT"}, "wrong_type"),
        ({"header": {"crit": ["x"]}}, "forbidden_header"),
        ({"aud": "https://billing.example"}, "wrong_audience"),
        ({"iss": "https://other.example"}, "wrong_issuer"),
        ({"nbf": 2**33}, "not_yet_valid"),
    ],
)
async def test_a_wrong_token_is_wrong_in_nothing_else(issuer, verifier, wrong, code):
    assert await refusal(verifier, issuer.token(**wrong)) == code


async def test_a_stranger_is_unknown_even_under_the_name_of_a_key(issuer, verifier):
    assert await refusal(verifier, issuer.token(key=issuer.stranger)) == "unknown_key"
    forged = issuer.token(key=issuer.stranger, header={"kid": issuer.current.kid})
    assert await refusal(verifier, forged) == "bad_signature"


async def test_rotation_harms_no_token(issuer, verifier):
    before, promised = issuer.token(), issuer.next
    await verifier.verify(before)
    for _ in range(3):
        issuer.rotate()
        await verifier.verify(issuer.token())
        await verifier.verify(before)
    assert promised.kid in verifier.status().key_ids


async def test_a_withdrawn_key_is_refused_and_a_new_one_signs(issuer, verifier):
    token, key = issuer.token(), issuer.current
    await verifier.verify(token)
    issuer.withdraw()
    await applied(issuer)
    assert await refusal(verifier, token) == "withdrawn_key"
    assert issuer.current is not key
    assert (await verifier.verify(issuer.token())).key_id == issuer.current.kid


async def test_the_next_key_may_be_withdrawn_too(issuer, verifier):
    await verifier.verify(issuer.token())
    key = issuer.next
    issuer.withdraw(key)
    assert key not in (issuer.current, issuer.next)
    issuer.rotate()
    await verifier.verify(issuer.token())


@pytest.mark.parametrize(
    "named",
    [
        {"sub": "alice"},
        {"client_id": "demo"},
        {"jti": "t1"},
        {"grant_id": "g1"},
        {"sid": "s1"},
        {"aud_scope": (AUDIENCE, "orders:read")},
        {"everything": True},
    ],
    ids=lambda named: next(iter(named)),
)
async def test_revocation_by_each_name_ends_older_tokens_only(issuer, verifier, named):
    claims = {"jti": "t1", "grant_id": "g1", "sid": "s1"}
    token = issuer.token(scopes=["orders:read"], **claims)
    await verifier.verify(token)
    issuer.revoke(**named)
    await applied(issuer)
    assert await refusal(verifier, token) == "revoked"
    await verifier.verify(issuer.token(scopes=["orders:read"], **claims))


async def test_logging_out_ends_one_session(issuer, verifier):
    mine, other = issuer.token(), issuer.token()
    await verifier.verify(mine)
    issuer.revoke(mine)
    await applied(issuer)
    assert await refusal(verifier, mine) == "revoked"
    await verifier.verify(other)


def test_waiting_for_a_follower_that_is_not_there_ends(issuer):
    issuer.revoke(sub="alice")
    with pytest.raises(TimeoutError):
        issuer.wait_until_applied(0.05)


def test_a_revocation_needs_a_name_that_exists(issuer):
    with pytest.raises(ValueError, match="subject"):
        issuer.revoke(subject="alice")


async def test_time_travels_for_issuer_and_verifier_together(issuer, verifier):
    token = issuer.token()
    await verifier.verify(token)
    issuer.clock.advance(3600)
    assert await refusal(verifier, token) == "expired"
    await verifier.verify(issuer.token())
    issuer.clock.advance(-7200)
    await verifier.verify(issuer.token())


async def test_an_issuer_dies_and_comes_back_on_its_port(issuer, verifier):
    token = issuer.token()
    await verifier.verify(token)
    address = issuer.url
    issuer.stop()
    async with httpx2.AsyncClient() as http:
        with pytest.raises(httpx2.TransportError):
            await http.get(issuer.url + JWKS_PATH)
    await verifier.verify(token)
    issuer.start()
    assert issuer.url == address
    issuer.revoke(token)
    await applied(issuer)
    assert await refusal(verifier, token) == "revoked"


async def test_a_verifier_that_starts_during_an_outage_says_so(issuer):
    issuer.fail(500)
    async with Verifier(issuer.url, AUDIENCE) as verifier:
        with pytest.raises(KeysUnavailable):
            await verifier.verify(issuer.token())
        assert sum(issuer.requests.values()) >= 1


async def test_hanging_requests_end_when_the_issuer_recovers(issuer):
    issuer.hang(path=JWKS_PATH)
    async with httpx2.AsyncClient(base_url=issuer.url) as http:
        silent = asyncio.create_task(http.get(JWKS_PATH))
        while not issuer.requests[JWKS_PATH]:
            await asyncio.sleep(0)
        assert (await http.get("/.well-known/openid-configuration")).json()["issuer"] == issuer.url
        issuer.recover()
        with pytest.raises(httpx2.TransportError):
            await silent
        assert (await http.get(JWKS_PATH)).headers["cache-control"] == "public, max-age=300"


def test_stopping_ends_what_hangs_and_what_waits(issuer):
    issuer.hang(path=JWKS_PATH)
    began = time.monotonic()
    issuer.stop()
    issuer.stop()
    assert time.monotonic() - began < 2


def test_the_feed_speaks_the_wire_format(issuer):
    """docs/revocation.md: a snapshot without a cursor, then what is new; malformed parameters are told."""
    issuer.revoke(sub="alice")
    snapshot = read_answer(fetch(issuer, ""))
    assert (snapshot.snapshot, snapshot.seq, len(snapshot.rules)) == (True, 1, 1)
    issuer.revoke(grant_id="g1")
    more = read_answer(fetch(issuer, f"?cursor={snapshot.epoch}.1&wait=20&unknown=1"))
    assert (more.snapshot, [rule.kind for rule in more.rules]) == (False, ["grant_id"])
    assert read_answer(fetch(issuer, f"?cursor={more.epoch}.2&wait=0")).rules == ()
    assert read_answer(fetch(issuer, "?cursor=elsewhere.2&wait=20")).snapshot
    for wrong in ("?wait=-1", "?wait=soon", "?wait=nan", "?cursor=x", "?cursor=x.-1"):
        answer = httpx2.get(issuer.url + FEED_PATH + wrong)
        assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"}), wrong


def test_new_keys_are_told_by_the_feed(issuer):
    before = read_answer(fetch(issuer, ""))
    issuer.rotate()
    after = read_answer(fetch(issuer, f"?cursor={before.epoch}.{before.seq}&wait=20"))
    assert after.jwks_version != before.jwks_version


def test_keys_are_made_once_for_all_issuers(issuer):
    with LocalIssuer(AUDIENCE) as other:
        assert (other.current, other.next, other.stranger) == (issuer.current, issuer.next, issuer.stranger)


def test_only_public_members_are_published(issuer):
    for key in json.loads(fetch(issuer, "", JWKS_PATH))["keys"]:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}


def fetch(issuer: LocalIssuer, query: str, path: str = FEED_PATH) -> bytes:
    with urllib.request.urlopen(issuer.url + path + query, timeout=5) as answer:
        return answer.read()
