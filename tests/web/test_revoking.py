"""`POST /revoke`: what it ends, whom it refuses, and that a 200 is never a lie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import jwt
import pytest
from issuer_in_process import SERVICE, Issuer, granted, refusal

from identity.feed.rules import Rule
from identity.keyring.signers import base64url
from identity.oauth.registration.new_client import NewClient
from identity.store.embedded import EmbeddedValkey
from identity.verifier.profile import RuleKind, rule_digest

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
OVER = (400, "invalid_grant")


def digest(kind: RuleKind, value: str) -> str:
    return base64url(rule_digest(kind, value))


def unverified(token: str) -> dict[str, str]:
    claims: dict[str, str] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize("presented", ["refresh_token", "access_token"])
@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "nonsense", ""])
async def test_either_token_ends_the_whole_grant_whatever_the_hint(issuer: Issuer, presented: str, hint: str) -> None:
    """A55, CVE-2026-68481, RFC 7009 section 2.1: the hint is only a hint."""
    body = granted(await issuer.login())
    response = await issuer.revoke(body[presented], token_type_hint=hint)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["cache-control"] == "no-store"
    assert refusal(await issuer.refresh(body["refresh_token"])) == OVER
    (rule,) = await issuer.rules()
    claims = await issuer.claims(body["access_token"])
    assert rule[1:3] == ["grant_id", digest(RuleKind.GRANT, claims["grant_id"])]
    assert rule[0] > claims["rev"]
    assert rule[3] >= claims["exp"]


async def test_a_service_s_token_is_revoked_by_its_id(issuer: Issuer) -> None:
    """A55: it belongs to no grant, and others of the same client live on."""
    token = granted(await issuer.service_token())["access_token"]
    assert (await issuer.revoke(token, SERVICE)).status_code == 200
    (rule,) = await issuer.rules()
    assert rule[1:3] == ["jti", digest(RuleKind.TOKEN, unverified(token)["jti"])]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "AAAA" + "A" * 22 + ".0." + "A" * 22,
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6W119.e30.eA",
        "W10.e30.eA",
        base64url(b'{"kid":' + b"[" * 4000) + ".e30.eA",
        "\u00e9" * 100,
        "x" * 60_000,
    ],
    ids=lambda token: token[:16],
)
async def test_what_is_no_token_of_ours_is_a_success(issuer: Issuer, token: str) -> None:
    """A55, RFC 7009 section 2.2: nothing is there to be revoked, and nothing is said."""
    response = await issuer.revoke(token)
    assert (response.status_code, response.content) == (200, b"")
    assert await issuer.rules() == []


async def test_a_token_with_a_foreign_signature_ends_nothing(issuer: Issuer) -> None:
    """A55: else whoever has seen a grant_id could end it."""
    header, payload, signature = granted(await issuer.login())["access_token"].split(".")
    forged = f"{header}.{payload}.{signature[:-8]}{'A' * 8}"
    assert (await issuer.revoke(forged)).status_code == 200
    assert await issuer.rules() == []


async def test_revoking_twice_is_a_success_and_one_rule(issuer: Issuer) -> None:
    """A55."""
    token = granted(await issuer.login())["refresh_token"]
    answers = await asyncio.gather(*(issuer.revoke(token) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await issuer.rules()) == 1


async def test_another_client_s_token_is_refused_and_lives_on(issuer: Issuer) -> None:
    """A55, RFC 7009 section 2.1."""
    await issuer.clients.create(NewClient("other", ["refresh_token"], ["orders:read"], authentication_method="none"))
    body = granted(await issuer.login())
    for token in (body["refresh_token"], body["access_token"]):
        assert refusal(await issuer.revoke(token, client_id="other")) == OVER
        assert refusal(await issuer.revoke(token, SERVICE)) == OVER
    assert await issuer.rules() == []
    granted(await issuer.refresh(body["refresh_token"]))


async def test_the_client_must_be_authenticated_even_for_garbage(issuer: Issuer) -> None:
    """A55."""
    for token in ("x", granted(await issuer.service_token())["access_token"]):
        assert refusal(await issuer.revoke(token, ("demo-service", "wrong"))) == (401, "invalid_client")
        assert refusal(await issuer.revoke(token, client_id="demo-service")) == (401, "invalid_client")
    assert await issuer.rules() == []


async def test_the_token_is_required(issuer: Issuer) -> None:
    """RFC 7009 section 2.1."""
    assert refusal(await issuer.revoke("")) == (400, "invalid_request")


async def test_after_redis_lost_the_family_revoking_still_ends_the_access_tokens(start_issuer: StartIssuer) -> None:
    """A55, F01: on a server that never saw the login."""
    async with start_issuer() as before:
        body = granted(await before.login())
        await before.stores.redis.execute("FLUSHALL")
    async with start_issuer() as after:
        assert (await after.revoke(body["refresh_token"])).status_code == 200
        (rule,) = await after.rules()
        assert rule[1:3] == ["grant_id", digest(RuleKind.GRANT, unverified(body["access_token"])["grant_id"])]


async def test_a_store_that_fails_is_a_503_and_the_retry_works(start_issuer: StartIssuer, site: Path) -> None:
    """A55, CVE-2020-15223, I4, I7: with a Valkey that is really stopped, and started again."""
    valkey = EmbeddedValkey(site / "data")
    valkey.start()
    try:
        async with start_issuer(redis_url=valkey.url) as issuer:
            body = granted(await issuer.login())
            await asyncio.to_thread(valkey.stop)
            for token in (body["refresh_token"], body["access_token"]):
                assert refusal(await issuer.revoke(token)) == (503, "temporarily_unavailable")
            assert refusal(await issuer.refresh(body["refresh_token"])) == (503, "temporarily_unavailable")
            valkey.start()
            async with asyncio.timeout(10):
                while (answer := await issuer.revoke(body["refresh_token"])).status_code != 200:
                    assert refusal(answer) == (503, "temporarily_unavailable")
                    await asyncio.sleep(0.05)
                while (answer := await issuer.refresh(body["refresh_token"])).status_code == 503:
                    await asyncio.sleep(0.05)
            assert refusal(answer) == OVER
            assert len(await issuer.rules()) == 1
    finally:
        valkey.stop()


async def test_a_revocation_that_only_sql_knows_is_in_force_a_moment_later(issuer: Issuer) -> None:
    """DESIGN 8: whoever dies between SQL and Redis leaves it to everybody's `catch_up`."""
    body = granted(await issuer.login())
    grant_id = body["refresh_token"].split(".")[0]
    from identity.store.sql.change import changes

    async with changes(issuer.stores.database, 930, 3600)() as change:
        change.revoke(Rule.ending(RuleKind.GRANT, grant_id))
    await issuer.settled()
    assert refusal(await issuer.refresh(body["refresh_token"])) == OVER
    assert [rule[2] for rule in await issuer.rules()] == [digest(RuleKind.GRANT, grant_id)]
