"""The code flow, from a client's link to its tokens (OpenID Connect Core section 3.1)."""

from __future__ import annotations

import base64
import hashlib

import jwt
from browser import CLIENT, Flow, agreed, answer_of, redeem, sign_in, submit, to_login
from issuer_in_process import ISSUER, Issuer, granted, refusal


async def test_a_person_signs_in_and_the_client_gets_tokens_and_learns_who_it_is(issuer: Issuer) -> None:
    """A05, A06, A62: state comes back, `iss` is the issuer's, and the tokens say what they should."""
    flow = Flow()
    answer = await sign_in(issuer, flow)
    assert answer.keys() == {"code", "state", "iss"}
    assert answer["state"] == "st&te=1"
    assert answer["iss"] == ISSUER
    tokens = granted(await redeem(issuer, flow, answer["code"]))
    access = await issuer.claims(tokens["access_token"])
    identity = await issuer.claims(tokens["id_token"], audience=CLIENT)
    assert access["scope"] == tokens["scope"] == "openid profile email orders:read"
    assert identity["nonce"] == "n-0S6"
    assert identity["sub"] == access["sub"]
    assert identity["sid"] == access["sid"]
    assert identity["auth_time"] == access["auth_time"]
    digest = hashlib.sha256(tokens["access_token"].encode()).digest()
    assert identity["at_hash"] == base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
    assert jwt.get_unverified_header(tokens["id_token"])["typ"] == "JWT"
    told = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert told.json() == {
        "sub": access["sub"],
        "name": "Alice",
        "preferred_username": "alice",
        "email": "alice@example.com",
        "email_verified": True,
    }


async def test_the_session_goes_on_and_tells_the_client_again_who_it_is(issuer: Issuer) -> None:
    """P08: the same person, audience and time of login; a new `iat`, and no nonce."""
    flow = Flow()
    first = granted(await redeem(issuer, flow, (await sign_in(issuer, flow))["code"]))
    then = granted(await issuer.refresh(first["refresh_token"], client_id=CLIENT))
    before, now = [await issuer.claims(each["id_token"], audience=CLIENT) for each in (first, then)]
    assert {name: before[name] for name in ("iss", "sub", "aud", "auth_time", "sid", "amr")} == {
        name: now[name] for name in ("iss", "sub", "aud", "auth_time", "sid", "amr")
    }
    assert "nonce" not in now


async def test_who_is_logged_in_is_not_asked_again(issuer: Issuer) -> None:
    """U06: one login is enough for every client."""
    first = await sign_in(issuer, Flow())
    flow = Flow()
    second = answer_of(await issuer.http.get("/authorize", params=flow.parameters(prompt="none")))
    assert second["code"] != first["code"]
    granted(await redeem(issuer, flow, second["code"]))


async def test_a_wrong_password_shows_the_form_again_and_says_nothing_about_the_account(issuer: Issuer) -> None:
    """U05, P01."""
    page = await to_login(issuer, Flow())
    known, unknown = await submit(issuer, page, "alice", "wrong"), await submit(issuer, page, "nobody", "wrong")
    assert known.status_code == unknown.status_code == 403
    assert known.text.replace("alice", "nobody") == unknown.text
    assert "Wrong username or password." in known.text
    assert "wrong" not in known.text
    assert "code" in answer_of(await agreed(issuer, await submit(issuer, known)))


async def test_a_code_that_is_used_twice_ends_what_it_gave(issuer: Issuer) -> None:
    """A21, P07."""
    flow = Flow()
    code = (await sign_in(issuer, flow))["code"]
    tokens = granted(await redeem(issuer, flow, code))
    assert refusal(await redeem(issuer, flow, code)) == (400, "invalid_grant")
    assert refusal(await issuer.refresh(tokens["refresh_token"], client_id=CLIENT)) == (400, "invalid_grant")
    told = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert refusal(told) == (401, "invalid_token")
