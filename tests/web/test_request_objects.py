"""Signed requests (RFC 9101): only what the client signed counts."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from browser import CALLBACK, Flow, agreed, answer_of, redeem, submit, to_login
from client_keys import KeyedClient
from httpx2 import Response
from issuer_in_process import ISSUER, ORDERS, Issuer, granted, refusal

from identity.oauth.registration.new_client import NewClient

SIGNER = "signer"


async def signer_at(issuer: Issuer, **changes: Any) -> KeyedClient:
    keyed = KeyedClient(SIGNER)
    fields: dict[str, Any] = {
        "jwks": [keyed.jwk],
        "authentication_method": "none",
        "redirect_uris": [CALLBACK],
        **changes,
    }
    fields.setdefault("default_resource", "orders")
    await issuer.clients.create(NewClient(SIGNER, ["authorization_code"], ["openid", "profile"], **fields))
    await issuer.settled()
    return keyed


def request_object(keyed: KeyedClient, flow: Flow, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    said = {
        "iss": SIGNER,
        "aud": ISSUER,
        "exp": int(time.time()) + 60,
        **flow.parameters(client_id=SIGNER, scope="openid"),
    }
    return keyed.sign(
        {name: value for name, value in {**said, **changes}.items() if value is not None},
        **{"typ": "oauth-authz-req+jwt", **(headers or {})},
    )


async def ask(issuer: Issuer, signed: str, **beside: Any) -> Response:
    return await issuer.http.get("/authorize", params={"client_id": SIGNER, "request": signed, **beside})


def is_page(answer: Response) -> bool:
    return answer.status_code == 400 and answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("typ", ["oauth-authz-req+jwt", "JWT", None])
async def test_a_signed_request_is_answered(issuer: Issuer, typ: str | None) -> None:
    """RFC 9101 section 4; what OpenID Connect Core section 6.1 wants beside it may be repeated."""
    keyed, flow = await signer_at(issuer), Flow()
    signed = request_object(keyed, flow, {"typ": typ}, nonce="signed", max_age=3600, resource=[ORDERS])
    beside = {**dict.fromkeys(flow.parameters()), "client_id": SIGNER, "request": signed}
    page = await to_login(issuer, flow, **{**beside, "response_type": "code", "scope": "openid"})
    back = answer_of(await agreed(issuer, await submit(issuer, page)))
    assert back["state"] == "st&te=1"
    tokens = granted(await redeem(issuer, flow, back["code"], client_id=SIGNER))
    assert (await issuer.claims(tokens["id_token"], SIGNER))["nonce"] == "signed"


@pytest.mark.parametrize(
    "name", ["code_challenge", "state", "nonce", "redirect_uri", "scope", "response_mode", "prompt"]
)
async def test_what_stands_beside_a_signed_request_cannot_say_otherwise(issuer: Issuer, name: str) -> None:
    """CVE-2026-63687: neither wins; the request is refused, or what was not signed is not seen."""
    keyed, flow = await signer_at(issuer), Flow()
    signed = request_object(keyed, flow)
    answer = await ask(issuer, signed, **{name: "x" * 43})
    if name in flow.parameters():
        assert is_page(answer)
    else:
        assert answer.headers["location"].startswith("/login")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "other"},
        {"iss": None},
        {"aud": "https://other.example"},
        {"aud": None},
        {"client_id": "demo-web"},
        {"client_id": None},
        {"exp": 1},
        {"exp": 2**40},
        {"nbf": 2**40},
        {"request": "x"},
        {"request_uri": "urn:x"},
        {"state": True},
        {"sub": SIGNER},
    ],
    ids=str,
)
async def test_a_request_object_that_proves_nothing_is_a_page(issuer: Issuer, changes: dict[str, Any]) -> None:
    """A04: an address out of it is no address."""
    keyed, flow = await signer_at(issuer), Flow()
    times = {"nbf": 0, **changes}
    assert is_page(await ask(issuer, request_object(keyed, flow, **times)))
    assert (await ask(issuer, request_object(keyed, flow))).status_code == 303


@pytest.mark.parametrize("how", ["unsigned", "other key", "typ", "tampered"])
async def test_nobody_else_signs_for_a_client(issuer: Issuer, how: str) -> None:
    """A33's rules hold for every JWT of a client; an assertion is no request."""
    keyed, flow = await signer_at(issuer), Flow()
    good = request_object(keyed, flow)
    header, payload, signature = good.split(".")
    signed = {
        "unsigned": f"{header}.{payload}.",
        "other key": request_object(KeyedClient(SIGNER), flow),
        "typ": request_object(keyed, flow, {"typ": "client-authentication+jwt"}),
        "tampered": f"{header}.{payload[:-6]}AAAAAA.{signature}",
    }[how]
    assert is_page(await ask(issuer, signed))


async def test_what_is_wrong_in_a_signed_request_the_client_is_told(issuer: Issuer) -> None:
    """A05: the address was signed, and is the client's."""
    keyed, flow = await signer_at(issuer), Flow()
    answer = answer_of(await ask(issuer, request_object(keyed, flow, response_type="token")))
    assert (answer["error"], answer["state"]) == ("unsupported_response_type", "st&te=1")
    assert is_page(await ask(issuer, request_object(keyed, flow, redirect_uri="https://evil.example/")))


async def test_p03_a_client_without_keys_hears_that_its_signature_means_nothing(issuer: Issuer) -> None:
    signed = request_object(KeyedClient(SIGNER), Flow())
    answer = answer_of(await issuer.http.get("/authorize", params=Flow().parameters(request=signed)))
    assert answer["error"] == "request_not_supported"


async def test_a_client_may_have_to_sign_and_may_push_what_it_signed(issuer: Issuer) -> None:
    """A52, RFC 9101 section 10.5: the same request unsigned is refused, by either way."""
    keyed, flow = await signer_at(issuer, requires_signed_requests=True), Flow()
    plain = flow.parameters(client_id=SIGNER, scope="openid")
    assert answer_of(await issuer.http.get("/authorize", params=plain))["error"] == "invalid_request"
    assert refusal(await issuer.http.post("/par", data=plain)) == (400, "invalid_request")
    bad = request_object(KeyedClient(SIGNER), flow)
    data = {"client_id": SIGNER, "request": bad}
    assert refusal(await issuer.http.post("/par", data=data)) == (400, "invalid_request_object")
    data["request"] = request_object(keyed, flow)
    reference = (await issuer.http.post("/par", data=data)).json()["request_uri"]
    carried = {**dict.fromkeys(plain), "client_id": SIGNER, "request_uri": reference}
    page = await to_login(issuer, flow, **carried)
    assert page.status_code == 200


async def test_metadata_says_what_may_be_signed(issuer: Issuer) -> None:
    """P02."""
    document = json.loads((await issuer.http.get("/.well-known/openid-configuration")).content)
    assert document["request_parameter_supported"] is True
    assert document["request_object_signing_alg_values_supported"] == ["ES256", "PS256", "RS256", "EdDSA", "Ed25519"]
