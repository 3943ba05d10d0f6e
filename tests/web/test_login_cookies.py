"""What a browser holds of a login where the issuer is https, and how long it is worth anything (U06)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
from browser import CALLBACK, Flow, agreed, answer_of, hidden_fields, sign_in, submit, to_login
from httpx2 import Response
from issuer_in_process import Issuer

from identity.accounts.sessions import new_session_id
from identity.web.cookies import new_secret

HTTPS = "https://127.0.0.1:8000"
SESSION, BROWSER = "__Host-identity-session", "__Host-identity-browser"
FLAGS = {"path": "/", "secure": True, "httponly": True, "samesite": "lax"}


@pytest.fixture
async def secure(start_issuer: Any) -> AsyncIterator[Issuer]:
    """A server whose issuer is https."""
    async with start_issuer(issuer=HTTPS) as issuer:
        yield issuer


def cookies_of(response: Response) -> dict[str, Morsel[str]]:
    found: SimpleCookie = SimpleCookie()
    for header in response.headers.get_list("set-cookie"):
        found.load(header)
    return dict(found)


def flags_of(cookie: Morsel[str]) -> dict[str, Any]:
    return {name: value for name, value in cookie.items() if value}


async def is_logged_in(issuer: Issuer, session: str) -> bool:
    """Whether a browser with nothing but this session cookie is asked to log in."""
    issuer.http.cookies.clear()
    sent = Flow().parameters(prompt="none")
    answer = await issuer.http.get("/authorize", params=sent, headers={"Cookie": f"{SESSION}={session}"})
    return answer_of(answer, CALLBACK).get("error") != "login_required"


async def test_u06_both_cookies_are_host_ones_that_no_script_and_no_other_site_can_use(secure: Issuer) -> None:
    """`__Host-`, Secure, HttpOnly, SameSite=Lax, Path=/, no Domain and no end of its own: the server decides."""
    sent = await secure.http.get("/authorize", params=Flow().parameters())
    page = await secure.http.get(sent.headers["location"])
    answer = await submit(secure, page)
    browser, session = cookies_of(sent), cookies_of(answer)
    assert set(browser) == {BROWSER}
    assert set(session) == {SESSION}
    assert flags_of(browser[BROWSER]) == flags_of(session[SESSION]) == FLAGS
    assert len(browser[BROWSER].value) >= 43, "256 bits"
    session_id, _, secret = session[SESSION].value.partition(".")
    assert len(session_id) >= 22, "128 bits"
    assert len(secret) >= 43


async def test_u06_a_cookie_without_its_prefix_counts_for_nothing(secure: Issuer) -> None:
    """Another host of the domain can set one without; `__Host-` it cannot."""
    await sign_in(secure, Flow())
    session = secure.http.cookies[SESSION]
    assert await is_logged_in(secure, session)
    sent = Flow().parameters(prompt="none")
    answer = await secure.http.get("/authorize", params=sent, headers={"Cookie": f"identity-session={session}"})
    assert answer_of(answer)["error"] == "login_required"


@pytest.mark.parametrize("again", [{"prompt": "login"}, {"max_age": "0"}])
async def test_u06_a_login_and_a_login_again_make_a_new_session(secure: Issuer, again: dict[str, str]) -> None:
    """Nothing of the one before is left: neither its id nor its secret, and it opens nothing any more."""
    await sign_in(secure, Flow())
    first = secure.http.cookies[SESSION]
    await sign_in(secure, Flow(), **again)
    second = secure.http.cookies[SESSION]
    assert not set(first.split(".")) & set(second.split("."))
    assert not await is_logged_in(secure, first)
    assert await is_logged_in(secure, second)


async def test_u06_a_session_that_was_planted_before_the_login_is_not_the_persons(secure: Issuer) -> None:
    """Session fixation: the attacker's own, or an invented one."""
    await sign_in(secure, Flow(), "bob", "builder")
    planted = secure.http.cookies[SESSION]
    secure.http.cookies.clear()
    secure.http.cookies.set(SESSION, planted, domain="127.0.0.1")
    await sign_in(secure, Flow(), prompt="login")
    theirs = {cookie.value for cookie in secure.http.cookies.jar if cookie.name == SESSION}
    assert len(theirs - {planted}) == 1
    assert not await is_logged_in(secure, planted)
    invented = f"{new_session_id()}.{new_secret()}"
    assert not await is_logged_in(secure, invented)


async def test_u06_after_the_logout_the_session_is_dead_and_the_cookie_gone(secure: Issuer) -> None:
    await agreed(secure, await submit(secure, await to_login(secure, Flow())))
    session = secure.http.cookies[SESSION]
    page = await secure.http.get("/logout")
    done = await secure.http.post("/logout/confirm", data=hidden_fields(page))
    (gone,) = [cookie for name, cookie in cookies_of(done).items() if name == SESSION]
    assert gone.value == ""
    assert gone["max-age"] == "0"
    assert {name: gone[name] for name in FLAGS} == FLAGS, "or the browser would not take it for the same"
    assert SESSION not in secure.http.cookies
    assert not await is_logged_in(secure, session)
