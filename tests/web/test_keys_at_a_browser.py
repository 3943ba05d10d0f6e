"""K11: whatever key is rotated while somebody signs in, no page, no session and no request that waits notices.

There is no secret that cookies or forms are made with. A cookie is random, and the server has its digest; what a form is bound
to is that cookie. The keys there are sign tokens, and are these two kinds: all of them are rotated here, at every step.
"""

from __future__ import annotations

import asyncio
from typing import Any

import jwt
from browser import CLIENT, Flow, answer_of, consent_page, decide, hidden_fields, redeem, sign_in, submit, to_login
from issuer_in_process import Issuer, granted

AFTER = "http://127.0.0.1:54321/"


async def rotate_everything(issuer: Issuer) -> str:
    """Every key there is; returns when the server uses them, and with what it signs now."""
    await issuer.keys.rotate(force=True)
    return await in_force(issuer, (await issuer.keys.rotate_refresh_key()).version)


async def in_force(issuer: Issuer, version: int) -> str:
    live = issuer.app.state.keys
    async with asyncio.timeout(10):
        while live.now.keyring.version < version:
            await asyncio.sleep(0.02)
    kid: str = live.now.signer.kid
    return kid


def kid_of(token: str) -> Any:
    return jwt.get_unverified_header(token)["kid"]


async def test_k11_keys_that_rotate_at_every_step_of_a_sign_in_break_nothing(issuer: Issuer) -> None:
    """Between the request and the login, the login and the consent, the consent and the code's redemption, and refreshes; then
    the session goes on, and an ID token of a key that does not sign any more signs the person out."""
    flow = Flow()
    page = await to_login(issuer, flow)
    await rotate_everything(issuer)
    page = await consent_page(issuer, await submit(issuer, page))
    await rotate_everything(issuer)
    answer = answer_of(await decide(issuer, page))
    signing = await rotate_everything(issuer)
    tokens = granted(await redeem(issuer, flow, answer["code"]))
    assert kid_of(tokens["access_token"]) == kid_of(tokens["id_token"]) == signing
    for _ in range(2):
        signing = await rotate_everything(issuer)
        await issuer.claims(tokens["access_token"])
        again = granted(await issuer.refresh(tokens["refresh_token"], client_id=CLIENT))
        tokens = {**again, "first_id_token": tokens.get("first_id_token", tokens["id_token"])}
        assert kid_of(tokens["access_token"]) == signing
    asked = answer_of(await issuer.http.get("/authorize", params=Flow().parameters(prompt="none")))
    assert "code" in asked, "the session is the same"
    sent = {"id_token_hint": tokens["first_id_token"], "post_logout_redirect_uri": AFTER}
    assert answer_of(await issuer.http.get("/logout", params=sent), AFTER) == {}


async def test_k11_a_page_that_asks_about_signing_out_survives_a_rotation(issuer: Issuer) -> None:
    await sign_in(issuer, Flow())
    page = await issuer.http.get("/logout")
    await rotate_everything(issuer)
    done = await issuer.http.post("/logout/confirm", data=hidden_fields(page))
    assert "You are signed out" in done.text


async def test_k11_cookies_and_forms_depend_on_no_key_at_all(issuer: Issuer) -> None:
    """After a theft every key is replaced, without overlap: the page that waits and the session stay good all the same."""
    flow = Flow()
    page = await consent_page(issuer, await submit(issuer, await to_login(issuer, flow)))
    await in_force(issuer, (await issuer.keys.supersede_everything()).version)
    answer = answer_of(await decide(issuer, page))
    granted(await redeem(issuer, flow, answer["code"]))
    asked = answer_of(await issuer.http.get("/authorize", params=Flow().parameters(prompt="none")))
    assert "code" in asked
