"""Consent: nobody's data goes to a client without being asked, and not for longer than they like (A12, A65)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import CLIENT, Flow, answer_of, consent_page, decide, redeem, sign_in, submit, to_login
from httpx2 import Response
from issuer_in_process import Issuer, granted, refusal

from identity.administration.consents import Consents
from identity.oauth.registration.new_client import NewClient


async def ask(issuer: Issuer, flow: Flow | None = None, **changes: Any) -> Response:
    return await issuer.http.get("/authorize", params=(flow or Flow()).parameters(**changes))


async def asked_after_login(issuer: Issuer, **changes: Any) -> Response:
    return await consent_page(issuer, await submit(issuer, await to_login(issuer, Flow(), **changes)))


async def test_a65_a_person_is_asked_once_and_told_what_for(issuer: Issuer) -> None:
    page = await asked_after_login(issuer)
    for words in ("Demo web app", "alice", "See your e-mail address", "orders:read", 'id="consent-allow"'):
        assert words in page.text
    assert answer_of(await decide(issuer, page))["code"]
    assert answer_of(await ask(issuer))["code"]


async def test_a65_asking_for_more_is_asked_about_again(issuer: Issuer) -> None:
    await sign_in(issuer, Flow(), scope="openid")
    assert answer_of(await ask(issuer, prompt="none", scope="openid email"))["error"] == "consent_required"
    page = await consent_page(issuer, await ask(issuer, scope="openid email"))
    answer_of(await decide(issuer, page))
    assert "code" in answer_of(await ask(issuer, prompt="none", scope="openid"))


@pytest.mark.parametrize("decision", ["deny", "", "ALLOW", "allow "])
async def test_a65_whoever_does_not_say_yes_says_no(issuer: Issuer, decision: str) -> None:
    answer = answer_of(await decide(issuer, await asked_after_login(issuer), decision))
    assert answer["error"] == "access_denied"
    assert answer["state"] == "st&te=1"
    assert answer_of(await ask(issuer, prompt="none"))["error"] == "consent_required"


async def test_p05_a_client_may_want_the_question_asked_again(issuer: Issuer) -> None:
    """A14: `prompt=consent`."""
    await sign_in(issuer, Flow())
    page = await consent_page(issuer, await ask(issuer, prompt="consent"))
    assert "code" in answer_of(await decide(issuer, page))


async def test_p05_login_and_consent_are_both_asked_for_once(issuer: Issuer) -> None:
    await sign_in(issuer, Flow())
    page = await asked_after_login(issuer, prompt="login consent", max_age="0")
    assert "code" in answer_of(await decide(issuer, page))


async def test_a_client_of_the_operators_own_is_not_asked_about(issuer: Issuer) -> None:
    new = NewClient(
        "own",
        ["authorization_code"],
        ["openid"],
        authentication_method="none",
        redirect_uris=["http://127.0.0.1/callback"],
        is_trusted=True,
    )
    await issuer.clients.create(new)
    await issuer.settled()
    page = await to_login(issuer, Flow(), client_id="own", scope="openid")
    assert "code" in answer_of(await submit(issuer, page))


async def test_a12_a_consent_page_is_good_once_and_for_whom_it_was_made(issuer: Issuer) -> None:
    """CVE-2022-39222, U13: neither twice, nor in another browser, nor for somebody else who logged in meanwhile."""
    page = await asked_after_login(issuer)
    mine = dict(issuer.http.cookies)
    issuer.http.cookies.clear()
    assert (await decide(issuer, page)).status_code == 400
    issuer.http.cookies.update(mine)
    other = await to_login(issuer, Flow(), prompt="login")
    await submit(issuer, other, "bob", "builder")
    assert (await decide(issuer, page)).status_code == 400
    issuer.http.cookies.clear()
    page = await asked_after_login(issuer)
    assert (await decide(issuer, page)).status_code == 303
    assert (await decide(issuer, page)).status_code == 400


async def test_u13_nobody_consents_without_logging_in(issuer: Issuer) -> None:
    """CVE-2026-49448: the login page's request is not one that waits for consent."""
    page = await to_login(issuer, Flow())
    assert (await decide(issuer, page)).status_code == 400
    location = urlsplit((await ask(issuer)).headers["location"])
    assert (await issuer.http.get(f"/consent?{location.query}")).status_code == 400


async def test_a65_what_was_allowed_is_listed_and_taken_back(issuer: Issuer) -> None:
    """A48: the session is over, and other clients' go on after a refresh."""
    consents = Consents(issuer.stores.ledger, "test")
    flow = Flow()
    tokens = granted(await redeem(issuer, flow, (await sign_in(issuer, flow, scope="openid orders:read"))["code"]))
    other = granted(await issuer.login("alice"))
    assert [(each.client_id, each.scopes) for each in await consents.of("alice")] == [
        (CLIENT, ["openid", "orders:read"])
    ]
    await consents.withdraw("alice", CLIENT)
    await issuer.settled()
    assert await consents.of("alice") == []
    assert refusal(await issuer.refresh(tokens["refresh_token"], client_id=CLIENT)) == (400, "invalid_grant")
    told = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert refusal(told) == (401, "invalid_token")
    granted(await issuer.refresh(other["refresh_token"]))
    assert answer_of(await ask(issuer, prompt="none", scope="openid"))["error"] == "consent_required"


async def test_a65_what_was_taken_back_does_not_come_back_with_another_consent(issuer: Issuer) -> None:
    """I2: neither a session nor a code of before."""
    consents = Consents(issuer.stores.ledger, "test")
    flow, later = Flow(), Flow()
    tokens = granted(await redeem(issuer, flow, (await sign_in(issuer, flow))["code"]))
    code = answer_of(await ask(issuer, later))["code"]
    await consents.withdraw("alice", CLIENT)
    await issuer.settled()
    await decide(issuer, await consent_page(issuer, await ask(issuer)))
    assert refusal(await issuer.refresh(tokens["refresh_token"], client_id=CLIENT)) == (400, "invalid_grant")
    assert refusal(await redeem(issuer, later, code)) == (400, "invalid_grant")
