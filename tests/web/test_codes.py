"""Redeeming codes (RFC 6749 section 4.1.3, RFC 7636 section 4.6): by whom, with what, and how often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from browser import CALLBACK, CLIENT, Flow, answer_of, redeem, sign_in
from issuer_in_process import Issuer, granted, refusal

from identity.administration.errors import AdministrationError
from identity.oauth.authorization.codes import MOST_WRONG_VERIFIERS
from identity.oauth.registration.new_client import NewClient

REFUSED = (400, "invalid_grant")
OTHER = "x" * 43


async def code_for(issuer: Issuer, flow: Flow, **changes: Any) -> str:
    return (await sign_in(issuer, flow, **changes))["code"]


async def test_a20_of_fifty_at_once_one_redeems_a_code(issuer: Issuer) -> None:
    """F13; what the one got is over, because the others had the code too (A21)."""
    flow = Flow()
    code = await code_for(issuer, flow)
    answers = await asyncio.gather(*(redeem(issuer, flow, code) for _ in range(50)))
    good = [each for each in answers if each.status_code == 200]
    assert len(good) == 1
    assert {refusal(each) for each in answers if each is not good[0]} == {REFUSED}
    assert refusal(await issuer.refresh(good[0].json()["refresh_token"], client_id=CLIENT)) == REFUSED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code": None}, (400, "invalid_request")),
        ({"code": "invented"}, REFUSED),
        ({"code": "\xe9"}, REFUSED),
        ({"code_verifier": None}, (400, "invalid_request")),
        ({"code_verifier": "short"}, (400, "invalid_request")),
        ({"code_verifier": OTHER}, REFUSED),
        ({"redirect_uri": None}, REFUSED),
        ({"redirect_uri": CALLBACK + "/"}, REFUSED),
        ({"redirect_uri": "http://127.0.0.1:54322/callback"}, REFUSED),
        ({"client_id": "nobody"}, (401, "invalid_client")),
        ({"client_id": "demo"}, (400, "unauthorized_client")),
    ],
)
async def test_a25_whoever_redeems_it_wrongly_does_not_use_it_up(
    issuer: Issuer, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A22, A23, A36, CVE-2023-48228."""
    flow = Flow()
    code = await code_for(issuer, flow)
    assert refusal(await redeem(issuer, flow, **{"code": code, **changes})) == expected
    granted(await redeem(issuer, flow, code))


async def test_a25_a_code_is_over_after_a_few_wrong_verifiers(issuer: Issuer) -> None:
    flow = Flow()
    code = await code_for(issuer, flow)
    for _ in range(MOST_WRONG_VERIFIERS):
        assert refusal(await redeem(issuer, flow, code, code_verifier=OTHER)) == REFUSED
    assert refusal(await redeem(issuer, flow, code)) == REFUSED


async def test_a23_pkce_is_the_clients_choice_only_if_it_can_prove_who_it_is(issuer: Issuer) -> None:
    """RFC 9700 section 2.1.1; a challenge is answered by whoever sent it, and a verifier without one is refused: somebody took
    it away (CVE-2024-23647)."""
    with pytest.raises(AdministrationError, match="must use PKCE"):
        await issuer.clients.create(
            NewClient(
                "spa",
                ["authorization_code"],
                authentication_method="none",
                redirect_uris=[CALLBACK],
                requires_pkce=False,
            )
        )
    new = NewClient("old", ["authorization_code"], ["openid"], redirect_uris=[CALLBACK], requires_pkce=False)
    _, secret = await issuer.clients.create(new)
    await issuer.settled()
    assert secret is not None
    flow, fields = Flow(), {"client_id": "old", "scope": "openid"}

    async def redeemed(code: str, verifier: str | None) -> Any:
        data = {"code": code, "redirect_uri": CALLBACK} | ({"code_verifier": verifier} if verifier else {})
        return await issuer.token("authorization_code", ("old", secret), **data)

    code = await code_for(issuer, flow, **fields, code_challenge=None, code_challenge_method=None)
    assert refusal(await redeemed(code, flow.verifier)) == REFUSED
    granted(await redeemed(code, None))
    again = await issuer.http.get("/authorize", params=flow.parameters(**fields))
    code = answer_of(again)["code"]
    assert refusal(await redeemed(code, None)) == REFUSED
    granted(await redeemed(code, flow.verifier))
    half = await issuer.http.get("/authorize", params=flow.parameters(**fields, code_challenge=None))
    assert answer_of(half)["error"] == "invalid_request"


async def test_a22_another_client_does_not_redeem_a_code(issuer: Issuer) -> None:
    """CVE-2026-16089: with its own credentials, and everything else right."""
    new = NewClient(
        "thief", ["authorization_code"], authentication_method="none", redirect_uris=["http://127.0.0.1/callback"]
    )
    await issuer.clients.create(new)
    await issuer.settled()
    flow = Flow()
    code = await code_for(issuer, flow)
    assert refusal(await redeem(issuer, flow, code, client_id="thief")) == REFUSED
    granted(await redeem(issuer, flow, code))


async def test_a22_an_address_that_was_not_named_must_not_be_named_later(issuer: Issuer) -> None:
    """RFC 6749 section 4.1.3: a client with one address need not name it."""
    new = NewClient(
        "single", ["authorization_code"], ["orders:read"], authentication_method="none", redirect_uris=[CALLBACK]
    )
    await issuer.clients.create(new)
    await issuer.settled()
    for named, expected in ((None, 200), (CALLBACK, 400)):
        flow = Flow()
        asked = {"client_id": "single", "redirect_uri": None, "scope": "orders:read", "prompt": "login"}
        code = await code_for(issuer, flow, **asked)
        answer = await redeem(issuer, flow, code, client_id="single", redirect_uri=named)
        assert answer.status_code == expected


async def test_a48_nobody_redeems_a_code_of_a_person_who_was_disabled(issuer: Issuer) -> None:
    flow = Flow()
    code = await code_for(issuer, flow)
    await issuer.people.disable("alice")
    await issuer.settled()
    assert refusal(await redeem(issuer, flow, code)) == REFUSED


async def test_a48_nor_of_one_whose_sessions_were_ended_and_who_may_log_in_again(issuer: Issuer) -> None:
    """A code is a session that has not begun: what ends sessions ends it."""
    flow = Flow()
    code = await code_for(issuer, flow)
    await issuer.people.disable("alice")
    await issuer.people.enable("alice")
    await issuer.settled()
    assert refusal(await redeem(issuer, flow, code)) == REFUSED


async def test_a24_a_code_expires(start_issuer: Any) -> None:
    """A20."""
    async with start_issuer(code_lifetime=1) as issuer:
        flow = Flow()
        code = await code_for(issuer, flow)
        await asyncio.sleep(1.1)
        assert refusal(await redeem(issuer, flow, code)) == REFUSED


async def test_a51_a_token_is_for_the_resource_that_was_named(issuer: Issuer) -> None:
    """A22: and for userinfo alone, when none is."""
    new = NewClient("bare", ["authorization_code"], ["openid"], authentication_method="none", redirect_uris=[CALLBACK])
    await issuer.clients.create(new)
    await issuer.settled()
    flow = Flow()
    code = await code_for(issuer, flow, client_id="bare", scope="openid")
    tokens = granted(await redeem(issuer, flow, code, client_id="bare"))
    assert "refresh_token" not in tokens
    claims = await issuer.claims(tokens["access_token"], audience=f"{issuer.settings.issuer}/userinfo")
    told = await issuer.http.post("/userinfo", data={"access_token": tokens["access_token"]})
    assert told.json() == {"sub": claims["sub"]}


@pytest.mark.parametrize(
    ("headers", "data", "expected"),
    [
        ({}, {}, (401, "invalid_token")),
        ({"Authorization": "Basic eDp5"}, {}, (401, "invalid_token")),
        ({"Authorization": "Bearer x.y.z"}, {}, (401, "invalid_token")),
        ({"Authorization": "Bearer "}, {}, (401, "invalid_token")),
        ({"Authorization": "Bearer x"}, {"access_token": "y"}, (400, "invalid_request")),
    ],
)
async def test_p06_userinfo_refuses_what_is_no_token(
    issuer: Issuer, headers: dict[str, str], data: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = await issuer.http.post("/userinfo", data=data, headers=headers)
    assert refusal(answer) == expected
    assert answer.headers.get("www-authenticate", "Bearer").startswith("Bearer")


async def test_p06_userinfo_is_for_tokens_with_openid_that_are_alive(issuer: Issuer) -> None:
    """A62: an ID token is none."""
    flow = Flow()
    tokens = granted(await redeem(issuer, flow, await code_for(issuer, flow)))

    async def ask(token: str) -> Any:
        return await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})

    assert refusal(await ask(tokens["id_token"])) == (401, "invalid_token")
    plain = granted(await issuer.login("alice"))
    assert refusal(await ask(plain["access_token"])) == (403, "insufficient_scope")
    assert (await ask(tokens["access_token"])).status_code == 200
    await issuer.revoke(tokens["refresh_token"], client_id=CLIENT)
    assert refusal(await ask(tokens["access_token"])) == (401, "invalid_token")
