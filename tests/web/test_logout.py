"""Signing out at the browser (OpenID Connect RP-Initiated Logout 1.0): A57, P09."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from browser import CLIENT, Flow, answer_of, hidden_fields, redeem, sign_in
from httpx2 import Response
from issuer_in_process import Issuer, granted, refusal

AFTER = "http://127.0.0.1:54321/"


async def tokens_of(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    flow = Flow()
    return granted(await redeem(issuer, flow, (await sign_in(issuer, flow, **changes))["code"]))


async def log_out(issuer: Issuer, **sent: Any) -> Response:
    return await issuer.http.get("/logout", params=sent)


async def is_over(issuer: Issuer, tokens: dict[str, Any]) -> bool:
    told = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    again = await issuer.refresh(tokens["refresh_token"], client_id=CLIENT)
    asked = answer_of(await issuer.http.get("/authorize", params=Flow().parameters(prompt="none")))
    found = (told.status_code, again.status_code, asked.get("error"))
    assert found in ((200, 200, None), (401, 400, "login_required"))
    return found[0] == 401


async def confirmed(issuer: Issuer, page: Response) -> Response:
    assert page.status_code == 200
    assert 'id="logout-confirm"' in page.text
    return await issuer.http.post("/logout/confirm", data=hidden_fields(page))


async def test_a57_a_client_that_shows_its_id_token_signs_the_person_out(issuer: Issuer) -> None:
    """P09: the session is dead, everywhere and for good, and the browser goes back with the state."""
    tokens, other = await tokens_of(issuer), await tokens_of_another_client(issuer)
    answer = await log_out(issuer, id_token_hint=tokens["id_token"], post_logout_redirect_uri=AFTER, state="s&1")
    assert answer_of(answer, AFTER) == {"state": "s&1"}
    await issuer.settled()
    assert await is_over(issuer, tokens)
    assert await is_over(issuer, other)


async def tokens_of_another_client(issuer: Issuer) -> dict[str, Any]:
    """Somebody who is logged in signs in to something else, and is not asked."""
    flow = Flow()
    answer = answer_of(await issuer.http.get("/authorize", params=flow.parameters(prompt="none")))
    return granted(await redeem(issuer, flow, answer["code"]))


async def test_a57_without_a_hint_the_person_is_asked(issuer: Issuer) -> None:
    tokens = await tokens_of(issuer)
    page = await log_out(issuer, client_id=CLIENT, post_logout_redirect_uri=AFTER)
    assert "Demo web app" in page.text
    assert not await is_over(issuer, tokens)
    done = await confirmed(issuer, page)
    assert done.status_code == 200, "nobody is redirected for a client that proved nothing"
    assert "You are signed out" in done.text
    await issuer.settled()
    assert await is_over(issuer, {**tokens, "refresh_token": tokens["refresh_token"]})


@pytest.mark.parametrize("how", ["forged", "access token", "another person", "another client", "repeated", "nothing"])
async def test_a57_whatever_is_doubtful_is_asked_about_and_leads_nowhere(issuer: Issuer, how: str) -> None:
    """P09."""
    tokens = await tokens_of(issuer)
    sent: dict[str, Any] = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": AFTER}
    if how == "forged":
        sent["id_token_hint"] = tokens["id_token"][:-4] + "AAAA"
    elif how == "access token":
        sent["id_token_hint"] = tokens["access_token"]
    elif how == "another person":
        issuer.http.cookies.clear()
        other = await sign_in_as(issuer, "bob", "builder")
        tokens = other
    elif how == "another client":
        sent["client_id"] = "demo"
    elif how == "repeated":
        sent["state"] = ["a", "b"]
    else:
        sent = {}
    page = await log_out(issuer, **sent)
    assert not await is_over(issuer, tokens)
    done = await confirmed(issuer, page)
    assert how == "another person" or done.status_code == 200


async def sign_in_as(issuer: Issuer, username: str, password: str) -> dict[str, Any]:
    flow = Flow()
    answer = await sign_in(issuer, flow, username, password)
    return granted(await redeem(issuer, flow, answer["code"]))


@pytest.mark.parametrize(
    "uri",
    ["https://evil.example/", AFTER + "x", "http://127.0.0.1:54321@evil/", "javascript:alert(1)", "http://localhost/"],
)
async def test_p09_nobody_is_sent_to_an_address_that_was_not_registered(issuer: Issuer, uri: str) -> None:
    tokens = await tokens_of(issuer)
    done = await log_out(issuer, id_token_hint=tokens["id_token"], post_logout_redirect_uri=uri)
    assert done.status_code == 200
    assert "You are signed out" in done.text


async def test_p09_who_is_signed_out_already_goes_back_too(issuer: Issuer) -> None:
    """An old hint is still one, and there is nothing to ask."""
    tokens = await tokens_of(issuer)
    for _ in range(2):
        answer = await log_out(issuer, id_token_hint=tokens["id_token"], post_logout_redirect_uri=AFTER)
        assert answer.status_code == 303


async def test_a57_a_hint_may_have_expired_and_its_key_have_retired_but_not_been_withdrawn(issuer: Issuer) -> None:
    """DESIGN section 6."""
    tokens = await tokens_of(issuer)
    claims = jwt.decode(tokens["id_token"], options={"verify_signature": False})
    old = {**claims, "exp": claims["iat"] - 1000, "iat": claims["iat"] - 2000}
    hint = issuer.signer.sign("JWT", json.dumps(old).encode())
    answer = await log_out(issuer, id_token_hint=hint, post_logout_redirect_uri=AFTER)
    assert answer.status_code == 303


async def test_a12_another_site_signs_nobody_out(issuer: Issuer) -> None:
    """A form of another site has no cookie, and a page of another browser is good for nothing."""
    tokens = await tokens_of(issuer)
    page = await log_out(issuer)
    mine = dict(issuer.http.cookies)
    issuer.http.cookies.clear()
    assert (await issuer.http.post("/logout/confirm", data=hidden_fields(page))).status_code == 400
    issuer.http.cookies.update(mine)
    assert not await is_over(issuer, tokens)


async def test_a_code_of_before_the_logout_is_worth_nothing_after_it(issuer: Issuer) -> None:
    """A48, I2."""
    flow = Flow()
    code = (await sign_in(issuer, flow))["code"]
    await confirmed(issuer, await log_out(issuer))
    await issuer.settled()
    assert refusal(await redeem(issuer, flow, code)) == (400, "invalid_grant")


async def test_p05_a_hint_names_the_person_who_has_to_be_logged_in(issuer: Issuer) -> None:
    """A14: with another one, the client is told that somebody has to log in, and not who is."""
    hint = (await tokens_of(issuer))["id_token"]
    asked = answer_of(await issuer.http.get("/authorize", params=Flow().parameters(prompt="none", id_token_hint=hint)))
    assert "code" in asked
    issuer.http.cookies.clear()
    await sign_in_as(issuer, "bob", "builder")
    for wrong in (hint, "forged"):
        sent = Flow().parameters(prompt="none", id_token_hint=wrong)
        assert answer_of(await issuer.http.get("/authorize", params=sent))["error"] == "login_required"
