"""Signing out everywhere: from an app of the operator's own, with an access token (U07)."""

from __future__ import annotations

from typing import Any

import pytest
from browser import CALLBACK, CLIENT, Flow, answer_of, redeem, sign_in
from httpx2 import Response
from issuer_in_process import ISSUER, Issuer, granted, refusal
from logout_hearer import relying_party
from sqlmodel import select
from test_backchannel_logout import heard_by, register, said, settled, tokens_of
from test_dpop import access, ask

from identity.models import AuditEvent

PATH = "/logout/everywhere"


async def everywhere(issuer: Issuer, token: str, **headers: str) -> Response:
    return await issuer.http.post(PATH, headers={"Authorization": f"Bearer {token}", **headers})


def challenge(response: Response) -> tuple[int, str]:
    status, code = refusal(response)
    assert f'error="{code}"' in response.headers["www-authenticate"]
    assert response.headers["www-authenticate"].startswith("Bearer")
    return status, code


async def is_logged_in(issuer: Issuer, cookies: dict[str, str]) -> bool:
    issuer.http.cookies.clear()
    issuer.http.cookies.update(cookies)
    answer = answer_of(await issuer.http.get("/authorize", params=Flow().parameters(prompt="none")))
    return answer.get("error") != "login_required"


async def test_u07_a_person_ends_all_of_their_sessions(issuer: Issuer) -> None:
    """Every browser, refresh token and access token, by the one rule that an operator ends them with; clients hear of it."""
    async with relying_party() as shop:
        await register(issuer, "shop", shop)
        flow = Flow()
        other = granted(await redeem(issuer, flow, (await sign_in(issuer, flow))["code"]))
        browser = dict(issuer.http.cookies)
        assert await is_logged_in(issuer, browser)
        issuer.http.cookies.clear()
        tokens, password = await tokens_of(issuer, "shop"), granted(await issuer.login())
        answer = await everywhere(issuer, tokens["access_token"])
        assert (answer.status_code, answer.json()) == (200, {})
        assert answer.headers["cache-control"] == "no-store"
        await issuer.settled()
        for held, client_id in ((other, CLIENT), (tokens, "shop"), (password, "demo")):
            again = await issuer.refresh(held["refresh_token"], client_id=client_id)
            assert refusal(again) == (400, "invalid_grant")
            assert challenge(await everywhere(issuer, held["access_token"])) == (401, "invalid_token")
        assert not await is_logged_in(issuer, browser)
        (heard,) = await heard_by(issuer, shop, "shop")
        assert heard["sid"] == said(tokens["id_token"])["sid"]
        await settled(issuer)
    async with issuer.stores.database.read() as session:
        (event,) = await session.scalars(select(AuditEvent).where(AuditEvent.event == "logout.everywhere"))
    assert (event.subject, event.client_id) == (heard["sub"], "shop")


async def test_u07_nobody_else_is_signed_out(issuer: Issuer) -> None:
    await register(issuer, "shop", None)
    bob = granted(await issuer.login("bob"))
    await everywhere(issuer, (await tokens_of(issuer, "shop"))["access_token"])
    await issuer.settled()
    assert granted(await issuer.refresh(bob["refresh_token"], client_id="demo"))


async def refused_tokens(issuer: Issuer, how: str) -> str:
    if how == "client that is not trusted":
        flow = Flow()
        return str(granted(await redeem(issuer, flow, (await sign_in(issuer, flow))["code"]))["access_token"])
    if how == "without openid":
        await register(issuer, "shop", None)
        return str((await tokens_of(issuer, "shop", scope="orders:read"))["access_token"])
    if how == "nobody's":
        return str(granted(await issuer.service_token())["access_token"])
    return "e30.e30.e30"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("client that is not trusted", (403, "insufficient_scope")),
        ("without openid", (403, "insufficient_scope")),
        ("nobody's", (403, "insufficient_scope")),
        ("nonsense", (401, "invalid_token")),
    ],
)
async def test_u07_only_a_person_in_an_app_of_the_operators_own_may(
    issuer: Issuer, how: str, expected: tuple[int, str]
) -> None:
    """RFC 6750 section 3.1. A client that people only allowed to know who they are does not end their other sessions."""
    token = await refused_tokens(issuer, how)
    alive = granted(await issuer.login())
    assert challenge(await everywhere(issuer, token)) == expected
    await issuer.settled()
    assert granted(await issuer.refresh(alive["refresh_token"], client_id="demo"))


async def test_u07_a_token_of_a_client_that_is_trusted_no_more_is_refused(issuer: Issuer) -> None:
    """A48: disabled, it has no say."""
    await register(issuer, "shop", None)
    token = (await tokens_of(issuer, "shop"))["access_token"]
    await issuer.clients.disable("shop")
    await issuer.settled()
    assert challenge(await everywhere(issuer, token)) == (401, "invalid_token")


async def test_u07_without_a_token_there_is_only_a_challenge(issuer: Issuer) -> None:
    """RFC 6750 section 3; a cookie is nothing here, so no page of another site can do it (A12)."""
    await register(issuer, "shop", None)
    await tokens_of(issuer, "shop")
    answer = await issuer.http.post(PATH)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await issuer.http.get(PATH)).status_code == 405
    assert await is_logged_in(issuer, dict(issuer.http.cookies))


async def test_a59_pages_of_registered_origins_may_call_it(issuer: Issuer) -> None:
    """And no other page."""
    await register(issuer, "shop", None, origins=("https://shop.example",))
    token = (await tokens_of(issuer, "shop"))["access_token"]
    asked: dict[str, Any] = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    evil = await issuer.http.options(PATH, headers={**asked, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in evil.headers
    good = await issuer.http.options(PATH, headers={**asked, "Origin": "https://shop.example"})
    assert good.headers["access-control-allow-origin"] == "https://shop.example"
    answer = await everywhere(issuer, token, Origin="https://shop.example")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


async def test_v13_u07_a_bound_token_ends_nothing_without_its_proof(issuer: Issuer) -> None:
    """RFC 9449 section 7.2: whoever stole it signs nobody out; with a proof for this address the person does."""
    await register(issuer, "shop", None)
    flow, asked = Flow(), {"client_id": "shop", "scope": "openid orders:read"}
    fields = {"code": (await sign_in(issuer, flow, **asked))["code"], "code_verifier": flow.verifier}
    answer = await ask(issuer, "authorization_code", client_id="shop", redirect_uri=CALLBACK, **fields)
    token = answer.json()["access_token"]
    assert challenge_of_any(await everywhere(issuer, token)) == (401, "invalid_token")
    elsewhere = await issuer.http.post(PATH, headers=access(token, method="POST"))
    assert challenge_of_any(elsewhere) == (401, "invalid_dpop_proof")
    proved = await issuer.http.post(PATH, headers=access(token, method="POST", htu=ISSUER + PATH))
    assert proved.status_code == 200


def challenge_of_any(response: Response) -> tuple[int, str]:
    assert response.headers["www-authenticate"].startswith("DPoP")
    return refusal(response)
