"""Pushed authorization requests (RFC 9126; A52): who may push, what, and that a reference is good once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from browser import CALLBACK, CLIENT, Flow, agreed, answer_of, hidden_fields, redeem, sign_in, submit, to_login
from client_keys import KeyedClient
from httpx2 import Response
from issuer_in_process import ISSUER, Issuer, granted, refusal

from identity.oauth.registration.new_client import NewClient


async def push(issuer: Issuer, flow: Flow, auth: tuple[str, str] | None = None, **changes: Any) -> Response:
    return await issuer.http.post("/par", data=flow.parameters(**changes), auth=auth)


async def pushed(issuer: Issuer, flow: Flow, **changes: Any) -> dict[str, str]:
    """What the browser carries."""
    answer = await push(issuer, flow, **changes)
    assert answer.status_code == 201, answer.text
    return {"client_id": changes.get("client_id", CLIENT), "request_uri": answer.json()["request_uri"]}


def carried(reference: dict[str, str]) -> dict[str, Any]:
    """An authorization request of nothing but a reference."""
    return {**dict.fromkeys(Flow().parameters()), **reference}


def is_page(answer: Response) -> bool:
    return answer.status_code == 400 and answer.headers["content-type"].startswith("text/html")


async def test_a52_a_pushed_request_is_answered_like_any_other(issuer: Issuer) -> None:
    flow = Flow()
    answer = await push(issuer, flow, nonce="pushed")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert 5 <= body["expires_in"] <= 600
    assert body["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert len(body["request_uri"].rpartition(":")[2]) >= 43
    page = await to_login(issuer, flow, **carried({"client_id": CLIENT, "request_uri": body["request_uri"]}))
    back = answer_of(await agreed(issuer, await submit(issuer, page)))
    assert (back["state"], back["iss"]) == ("st&te=1", ISSUER)
    assert (await issuer.claims(granted(await redeem(issuer, flow, back["code"]))["id_token"], CLIENT))[
        "nonce"
    ] == "pushed"


async def test_a52_a_reference_is_good_once_whatever_came_of_it(issuer: Issuer) -> None:
    """CVE-2026-96446: with prompt=none too, where nobody sees a page."""
    await sign_in(issuer, Flow())
    for prompt in (None, "none"):
        reference = await pushed(issuer, Flow(), prompt=prompt)
        assert "code" in answer_of(await issuer.http.get("/authorize", params=reference))
        assert is_page(await issuer.http.get("/authorize", params=reference))


async def test_a52_of_fifty_browsers_at_once_one_is_answered(issuer: Issuer) -> None:
    """F13."""
    await sign_in(issuer, Flow())
    reference = await pushed(issuer, Flow())
    answers = await asyncio.gather(*(issuer.http.get("/authorize", params=reference) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 49


@pytest.mark.parametrize("client_id", [None, "demo", "nobody"])
async def test_a52_a_reference_is_its_clients_alone(issuer: Issuer, client_id: str | None) -> None:
    """And nobody else uses it up."""
    flow = Flow()
    reference = await pushed(issuer, flow)
    params = {"request_uri": reference["request_uri"]} | ({"client_id": client_id} if client_id else {})
    assert is_page(await issuer.http.get("/authorize", params=params))
    assert (await issuer.http.get("/authorize", params=reference)).status_code == 303


async def test_a52_what_stands_beside_a_reference_changes_nothing(issuer: Issuer) -> None:
    """Whoever has the browser cannot take the challenge away, or have the answer sent elsewhere."""
    flow = Flow()
    reference = await pushed(issuer, flow)
    page = await to_login(
        issuer,
        flow,
        **carried({**reference, "state": "evil", "redirect_uri": CALLBACK + "2", "code_challenge": "x" * 43}),
    )
    back = answer_of(await agreed(issuer, await submit(issuer, page)))
    assert back["state"] == "st&te=1"
    granted(await redeem(issuer, flow, back["code"]))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/cb"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid unknown"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"resource": "https://unknown.example"}, "invalid_target"),
        ({"request": "e30.e30."}, "request_not_supported"),
    ],
)
async def test_a52_what_is_wrong_the_client_is_told_at_once(issuer: Issuer, wrong: dict[str, Any], code: str) -> None:
    """A24, A51: before any browser is sent anywhere."""
    assert refusal(await push(issuer, Flow(), **wrong)) == (400, code)


async def test_a52_only_a_client_that_proves_who_it_is_pushes(issuer: Issuer) -> None:
    new = NewClient("web", ["authorization_code"], ["openid"], redirect_uris=[CALLBACK])
    _, secret = await issuer.clients.create(new)
    await issuer.settled()
    assert secret is not None
    assert refusal(await push(issuer, Flow(), client_id="web")) == (401, "invalid_client")
    assert refusal(await push(issuer, Flow(), ("web", "wrong"), client_id="web")) == (401, "invalid_client")
    assert refusal(await push(issuer, Flow(), ("web", secret), client_id=CLIENT)) == (400, "invalid_request")
    answer = await push(issuer, Flow(), ("web", secret), client_id=None, scope="openid")
    assert answer.status_code == 201
    assert (await issuer.http.get("/par")).status_code == 405
    assert (await issuer.http.post("/par", json=Flow().parameters())).status_code == 415


async def test_a52_no_credential_waits_with_the_request(issuer: Issuer) -> None:
    """A64."""
    keyed = KeyedClient()
    new = NewClient(
        "keyed",
        ["authorization_code"],
        ["openid"],
        authentication_method="private_key_jwt",
        jwks=[keyed.jwk],
        redirect_uris=[CALLBACK],
    )
    await issuer.clients.create(new)
    await issuer.settled()
    fields = keyed.assertion()
    changes = {"client_id": "keyed", "scope": "openid", **fields}
    reference = await pushed(issuer, Flow(), **changes)
    page = await to_login(issuer, Flow(), **carried(reference))
    keys = await issuer.stores.redis.execute("KEYS", "*")
    kept = [
        await issuer.stores.redis.execute("GET", key) for key in keys if key.startswith(("pushed:", "interaction:"))
    ]
    assert kept
    assert not any(fields["client_assertion"] in record for record in kept)
    assert hidden_fields(page)


async def test_a52_a_client_may_have_to_push(issuer: Issuer) -> None:
    """P10: RFC 9126 section 6; the same request by the browser is refused."""
    new = NewClient(
        "pusher",
        ["authorization_code"],
        ["openid"],
        authentication_method="none",
        redirect_uris=[CALLBACK],
        requires_pushed_requests=True,
    )
    await issuer.clients.create(new)
    await issuer.settled()
    flow = Flow()
    refused = await issuer.http.get("/authorize", params=flow.parameters(client_id="pusher", scope="openid"))
    assert answer_of(refused)["error"] == "invalid_request"
    page = await to_login(issuer, flow, **carried(await pushed(issuer, flow, client_id="pusher", scope="openid")))
    assert "code" in answer_of(await agreed(issuer, await submit(issuer, page)))
