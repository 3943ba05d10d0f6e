"""A link to us leads nobody to the address of a client that anybody may have registered (RFC 9700 section 4.11.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from browser import Flow, agreed, answer_of, consent_page, decide, hidden_fields, submit, to_login
from httpx2 import Response
from issuer_in_process import Issuer

PHISHER = "https://phisher.example/login"


@pytest.fixture
async def issuer(start_issuer: Any) -> AsyncIterator[Issuer]:
    async with start_issuer(registration="token") as issuer:
        yield issuer


async def phisher(issuer: Issuer) -> dict[str, str]:
    token = await issuer.invitations.invite("anybody", 1, timedelta(days=1))
    document = {"redirect_uris": [PHISHER], "client_name": "Identity", "token_endpoint_auth_method": "none"}
    answer = await issuer.http.post("/register", json=document, headers={"Authorization": f"Bearer {token}"})
    return {"client_id": answer.json()["client_id"], "redirect_uri": PHISHER, "scope": "openid"}


async def ask(issuer: Issuer, client: dict[str, str], **changes: Any) -> Response:
    return await issuer.http.get("/authorize", params=Flow().parameters(**{**client, **changes}))


def asked_to_leave(page: Response) -> str:
    """Where the page leads, if the person wants to: it says where that is, and no header goes there by itself."""
    assert page.status_code == 400
    assert page.headers["content-type"].startswith("text/html")
    assert not {"location", "refresh"} & set(page.headers)
    assert "http-equiv" not in page.text
    assert "<script" not in page.text
    assert "https://phisher.example" in page.text
    return unescape(page.text.partition('<a id="leave" href="')[2].partition('"')[0])


@pytest.mark.parametrize(
    "changes",
    [{"prompt": "none"}, {"scope": "nonsense"}, {"response_type": "token"}, {"prompt": "none login"}],
    ids=str,
)
@pytest.mark.parametrize("is_signed_in", [False, True])
async def test_a13_no_error_leads_a_browser_to_a_client_that_was_never_allowed_anything(
    issuer: Issuer, changes: dict[str, str], is_signed_in: bool
) -> None:
    """Whoever is signed in too: that they are is no sign that they know the client."""
    client = await phisher(issuer)
    if is_signed_in:
        await agreed(issuer, await submit(issuer, await to_login(issuer, Flow())))
    link = asked_to_leave(await ask(issuer, client, **changes))
    assert link.startswith(f"{PHISHER}?error=")
    assert "state=st%26te%3D1" in link
    assert "iss=" in link


async def test_a13_a_form_is_not_sent_by_itself_either(issuer: Issuer) -> None:
    page = await ask(issuer, await phisher(issuer), prompt="none", response_mode="form_post")
    asked_to_leave(page)
    assert hidden_fields(page)["error"] == "login_required"
    assert "form-action https://phisher.example;" in page.headers["content-security-policy"]


async def test_a13_whoever_says_no_is_not_sent_there_all_the_same(issuer: Issuer) -> None:
    """RFC 9700 section 4.11.2: the second of its three attacks."""
    client = await phisher(issuer)
    sent = await submit(issuer, await to_login(issuer, Flow(), **client))
    link = asked_to_leave(await decide(issuer, await consent_page(issuer, sent), "deny"))
    assert link.startswith(f"{PHISHER}?error=access_denied")


async def test_a13_who_allowed_the_client_something_is_sent_back_with_errors(issuer: Issuer) -> None:
    """They know it: silent authentication works as the specification says."""
    client = await phisher(issuer)
    answer_of(await agreed(issuer, await submit(issuer, await to_login(issuer, Flow(), **client))), PHISHER)
    asked = answer_of(await ask(issuer, client, prompt="none", scope="openid email"), PHISHER)
    assert asked["error"] == "consent_required"
    assert "code" in answer_of(await ask(issuer, client, prompt="none"), PHISHER)
    issuer.http.cookies.clear()
    asked_to_leave(await ask(issuer, client, prompt="none"))


async def test_a13_no_request_gets_a_code_past_the_person_because_it_asks_for_nothing(issuer: Issuer) -> None:
    """A scope that the person's roles do not permit leaves nothing to agree to."""
    token = await issuer.invitations.invite("anybody", 1, timedelta(days=1), _only_orders())
    document = {"redirect_uris": [PHISHER], "token_endpoint_auth_method": "none"}
    made = await issuer.http.post("/register", json=document, headers={"Authorization": f"Bearer {token}"})
    client = {"client_id": made.json()["client_id"], "redirect_uri": PHISHER}
    await issuer.people.create("carol", "a long password", [])
    await issuer.settled()
    await submit(issuer, await to_login(issuer, Flow()), "carol", "a long password")
    answer = await ask(issuer, client, scope=None, resource="http://127.0.0.1:8001")
    assert answer.headers["location"].startswith("/consent"), answer.headers


def _only_orders() -> Any:
    from identity.oauth.registration.policy import RegistrationPolicy

    return RegistrationPolicy(scopes=frozenset({"orders:write"}))


async def test_clients_of_an_operator_hear_of_errors_as_before(issuer: Issuer) -> None:
    asked = answer_of(await issuer.http.get("/authorize", params=Flow().parameters(prompt="none")))
    assert asked["error"] == "login_required"
