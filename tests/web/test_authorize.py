"""The authorization endpoint's checks, and the order in which they are made."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from browser import CALLBACK, Flow, agreed, answer_of, hidden_fields, sign_in, submit, to_login
from httpx2 import Response
from issuer_in_process import ISSUER, Issuer

from identity.oauth.registration.new_client import NewClient

HEADERS = {
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def error_page(response: Response, status: int = 400) -> str:
    """The words of a page that tells of an error, and goes nowhere."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "location" not in response.headers
    assert "http-equiv" not in response.text
    assert HEADERS.items() <= dict(response.headers).items()
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    return response.text


async def ask(issuer: Issuer, **changes: Any) -> Response:
    return await issuer.http.get("/authorize", params=Flow().parameters(**changes))


@pytest.mark.parametrize("more", [{}, {"response_type": "token"}, {"scope": "nonsense"}, {"prompt": "none"}])
@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"client_id": "nul\0"},
        {"redirect_uri": "https://evil.example/cb"},
        {"redirect_uri": "http://127.0.0.1:54321/callback/../evil"},
        {"redirect_uri": "http://127.0.0.1:54321/callback/..;/evil"},
        {"redirect_uri": "http://127.0.0.1:54321@evil/callback"},
        {"redirect_uri": "http://localhost:54321/callback"},
        {"redirect_uri": "http://localhost.evil/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": CALLBACK + "#"},
        {"redirect_uri": CALLBACK + "\r\nX: y"},
        {"redirect_uri": CALLBACK + "\0"},
    ],
)
async def test_a04_an_unknown_client_or_address_is_a_page_whatever_else_is_wrong(
    issuer: Issuer, wrong: dict[str, Any], more: dict[str, Any]
) -> None:
    """A02, A04, CVE-2026-41479: nothing is ever sent where nobody looked first."""
    error_page(await ask(issuer, **{**wrong, **more}))


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_a07_two_clients_or_addresses_are_a_page(issuer: Issuer, name: str) -> None:
    sent = urlencode([*Flow().parameters().items(), (name, "https://evil.example/cb")])
    error_page(await issuer.http.get(f"/authorize?{sent}"))


async def test_a04_a_disabled_client_is_a_page(issuer: Issuer) -> None:
    await issuer.clients.disable("demo-web")
    await issuer.settled()
    error_page(await ask(issuer))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"scope": 'a"b'}, "invalid_scope"),
        ({"scope": "openid unknown"}, "invalid_scope"),
        ({"resource": "https://unknown.example"}, "invalid_target"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "1e3"}, "invalid_request"),
        ({"max_age": "\u0661"}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"request_uri": "https://app.example/request"}, "request_uri_not_supported"),
        ({"nonce": "\0"}, "invalid_request"),
    ],
)
async def test_what_else_is_wrong_the_client_is_told(issuer: Issuer, wrong: dict[str, Any], code: str) -> None:
    """A05, A06, A08, A24, A51, P03: with the state, and who says so."""
    answer = answer_of(await ask(issuer, **wrong))
    assert answer.pop("error_description").isascii()
    assert answer == {"error": code, "state": "st&te=1", "iss": ISSUER}


async def test_a09_a_client_gets_its_answers_in_the_ways_that_it_registered(issuer: Issuer) -> None:
    new = NewClient(
        "posted",
        ["authorization_code"],
        ["openid"],
        authentication_method="none",
        redirect_uris=[CALLBACK],
        response_modes=["form_post"],
    )
    await issuer.clients.create(new)
    await issuer.settled()
    for mode in (None, "query"):
        refused = await ask(issuer, client_id="posted", scope="openid", response_mode=mode)
        assert hidden_fields(refused)["error"] == "invalid_request"
        assert "location" not in refused.headers
    page = await to_login(issuer, Flow(), client_id="posted", scope="openid", response_mode="form_post")
    assert "code" in hidden_fields(await agreed(issuer, await submit(issuer, page)))


async def test_a07_a_repeated_parameter_is_refused_and_a_doubtful_state_not_repeated(issuer: Issuer) -> None:
    for name in ("scope", "state", "nonce", "code_challenge"):
        sent = urlencode([*Flow().parameters().items(), (name, "x")])
        answer = answer_of(await issuer.http.get(f"/authorize?{sent}"))
        assert answer["error"] == "invalid_request"
        assert ("state" in answer) is (name != "state")


@pytest.mark.parametrize(
    "more",
    [
        {"display": "popup"},
        {"ui_locales": "fr-CA fr en"},
        {"claims_locales": "fr"},
        {"login_hint": "alice"},
        {"prompt": "create"},
        {"acr_values": "urn:x"},
        {"unheard_of": "1"},
        {"state": ""},
        {"max_age": "0"},
    ],
)
async def test_p04_what_is_not_understood_is_no_error(issuer: Issuer, more: dict[str, Any]) -> None:
    assert "code" in await sign_in(issuer, Flow(), **more)


async def test_i6_what_waits_for_a_person_is_small(issuer: Issuer) -> None:
    """Whoever sends requests and never logs in fills Redis with them."""
    for long in ("s" * 9000, "&" * 9000):
        error_page(await ask(issuer, state=long))
        error_page(await issuer.http.post("/authorize", data=Flow().parameters(state=long)))
    assert "code" in await sign_in(issuer, Flow(), state="s" * 7000)


async def test_p04_a_request_may_be_posted(issuer: Issuer) -> None:
    answer = await issuer.http.post("/authorize", data=Flow().parameters())
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?")


async def test_p04_a_hint_fills_in_the_name(issuer: Issuer) -> None:
    page = await to_login(issuer, Flow(), login_hint='al"><script>')
    assert 'value="al&#34;&gt;&lt;script&gt;"' in page.text


async def test_a10_pages_let_nothing_in(issuer: Issuer) -> None:
    page = await to_login(issuer, Flow())
    assert HEADERS.items() <= dict(page.headers).items()
    assert page.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' http://127.0.0.1:54321;"
        " frame-ancestors 'none'; base-uri 'none'"
    )
    assert "<script" not in page.text


async def test_a11_after_a_password_the_browser_goes_on_by_get(issuer: Issuer) -> None:
    answer = await submit(issuer, await to_login(issuer, Flow()))
    then = await agreed(issuer, answer)
    assert answer.status_code == then.status_code == 303
    assert "wonderland" not in answer.headers["location"] + then.headers["location"]


async def test_a09_an_answer_may_be_posted_and_is_escaped(issuer: Issuer) -> None:
    """CVE-2024-21637."""
    state = '"><script>alert(1)</script>'
    page = await agreed(
        issuer, await submit(issuer, await to_login(issuer, Flow(), response_mode="form_post", state=state))
    )
    assert page.status_code == 200
    assert f'action="{CALLBACK}"' in page.text
    fields = hidden_fields(page)
    assert fields["state"] == state
    assert fields["iss"] == ISSUER
    assert fields["code"]
    assert page.text.count("<script") == 1
    assert "form-action http://127.0.0.1:54321;" in page.headers["content-security-policy"]


async def test_a12_a_login_page_is_good_for_the_browser_it_was_made_for(issuer: Issuer) -> None:
    """CVE-2022-39222: nobody logs in at the request that somebody else began."""
    page = await to_login(issuer, Flow())
    mine = dict(issuer.http.cookies)
    issuer.http.cookies.clear()
    error_page(await submit(issuer, page))
    issuer.http.cookies.set("identity-browser", "another")
    error_page(await submit(issuer, page))
    issuer.http.cookies.clear()
    issuer.http.cookies.update(mine)
    assert "code" in answer_of(await agreed(issuer, await submit(issuer, page)))


async def test_u13_a_login_page_is_good_once(issuer: Issuer) -> None:
    page = await to_login(issuer, Flow())
    answer_of(await agreed(issuer, await submit(issuer, page)))
    error_page(await submit(issuer, page))


@pytest.mark.parametrize("query", ["", "?interaction=", "?interaction=forged", "?interaction=%C3%A9"])
async def test_u13_there_is_no_login_page_without_a_request(issuer: Issuer, query: str) -> None:
    error_page(await issuer.http.get(f"/login{query}"))


@pytest.mark.parametrize("prompt", ["login", "select_account"])
async def test_p05_a_client_may_want_a_login_although_there_was_one(issuer: Issuer, prompt: str) -> None:
    """A14: and once is enough."""
    await sign_in(issuer, Flow())
    assert "code" in await sign_in(issuer, Flow(), prompt=prompt)


async def test_p05_a_login_that_is_too_old_is_not_enough(issuer: Issuer) -> None:
    """A14."""
    await sign_in(issuer, Flow())
    assert answer_of(await ask(issuer, prompt="none", max_age="100"))["code"]
    assert answer_of(await ask(issuer, prompt="none", max_age="0"))["error"] == "login_required"
    assert "code" in await sign_in(issuer, Flow(), max_age="0")


async def test_u06_a_session_from_before_the_login_is_not_the_one_after_it(issuer: Issuer) -> None:
    """CVE-2026-7507, CVE-2024-7341."""
    await sign_in(issuer, Flow())
    before = issuer.http.cookies["identity-session"]
    await sign_in(issuer, Flow(), prompt="login")
    after = issuer.http.cookies["identity-session"]
    assert before != after
    issuer.http.cookies.clear()
    issuer.http.cookies.set("identity-session", before)
    assert answer_of(await ask(issuer, prompt="none"))["error"] == "login_required"


@pytest.mark.parametrize("secret", ["", ".", "x", "x.y", "\xe9.y", "." * 5000])
async def test_u06_an_invented_session_is_none(issuer: Issuer, secret: str) -> None:
    answer = await issuer.http.get(
        "/authorize",
        params=Flow().parameters(prompt="none"),
        headers={"Cookie": b"identity-session=" + secret.encode("latin-1")},
    )
    assert answer_of(answer)["error"] == "login_required"


async def test_a48_a_disabled_person_is_not_logged_in_any_more(issuer: Issuer) -> None:
    await sign_in(issuer, Flow())
    await issuer.people.disable("alice")
    await issuer.settled()
    assert answer_of(await ask(issuer, prompt="none"))["error"] == "login_required"


async def test_a42_what_the_persons_roles_do_not_permit_is_left_out(issuer: Issuer) -> None:
    """A41; nothing left is `access_denied`."""
    answer = await sign_in(issuer, Flow(), scope="orders:write")
    assert answer["error"] == "access_denied"
