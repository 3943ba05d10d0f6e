"""The FAPI 2.0 security profile as one setting of a client: what it may do, from the pushed request to UserInfo (P10)."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from browser import CALLBACK, Flow, agreed, answer_of, submit, to_login
from client_keys import KeyedClient
from httpx2 import Response
from issuer_in_process import ISSUER, Issuer, granted, refusal
from proofs import EC, proof, thumbprint

from identity.administration.errors import AdministrationError
from identity.oauth.registration.new_client import NewClient

BANK = "bank"


async def bank_at(issuer: Issuer, **changes: Any) -> KeyedClient:
    keyed = KeyedClient(BANK)
    fields: dict[str, Any] = {
        "authentication_method": "private_key_jwt",
        "jwks": [keyed.jwk],
        "redirect_uris": [CALLBACK],
        "profile": "fapi2",
        "id_token_signing_alg": "ES256",
        "default_resource": "orders",
        **changes,
    }
    grants = fields.pop("grant_types", ["authorization_code", "refresh_token"])
    await issuer.clients.create(NewClient(BANK, grants, ["openid", "orders:read"], **fields))
    await issuer.settled()
    return keyed


def asked(flow: Flow, **changes: Any) -> dict[str, Any]:
    return flow.parameters(client_id=BANK, scope="openid orders:read", **changes)


async def push(issuer: Issuer, keyed: KeyedClient, flow: Flow, **changes: Any) -> Response:
    return await issuer.http.post("/par", data={**asked(flow, **changes), **keyed.assertion()})


async def redeem(issuer: Issuer, keyed: KeyedClient, sent: str | None, **fields: str) -> Response:
    data = {"redirect_uri": CALLBACK, "grant_type": "authorization_code", **fields, **keyed.assertion()}
    return await issuer.http.post("/token", data=data, headers={"DPoP": sent} if sent else {})


async def code_of(issuer: Issuer, keyed: KeyedClient, flow: Flow) -> str:
    reference = (await push(issuer, keyed, flow)).json()["request_uri"]
    carried = {**dict.fromkeys(asked(flow)), "client_id": BANK, "request_uri": reference}
    page = await to_login(issuer, flow, **carried)
    return answer_of(await agreed(issuer, await submit(issuer, page)))["code"]


async def test_p10_from_a_pushed_request_to_userinfo(four: Issuer) -> None:
    """Pushed, proved by a key, answered with PKCE, bound to a key, signed with ES256, and refreshed without rotation."""
    keyed, flow = await bank_at(four), Flow()
    code = await code_of(four, keyed, flow)
    fields = {"code": code, "code_verifier": flow.verifier}
    assert refusal(await redeem(four, keyed, None, **fields)) == (400, "invalid_dpop_proof")
    tokens = granted(await redeem(four, keyed, proof(), **fields), "DPoP")
    assert jwt.get_unverified_header(tokens["id_token"])["alg"] == "ES256"
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["cnf"] == {"jkt": thumbprint(EC)}
    access = tokens["access_token"]
    sent = proof("GET", f"{ISSUER}/userinfo", access)
    told = await four.http.get("/userinfo", headers={"Authorization": f"DPoP {access}", "DPoP": sent})
    assert told.json() == {"sub": claims["sub"]}
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "redirect_uri": ""}
    for _ in range(2):
        again = granted(await redeem(four, keyed, proof(), **refresh), "DPoP")
        assert again["refresh_token"] == tokens["refresh_token"]
    assert refusal(await redeem(four, keyed, None, **refresh)) == (400, "invalid_dpop_proof")


async def test_p10_a_request_by_the_browser_is_refused(four: Issuer) -> None:
    """A52: whoever has the browser would choose what is asked for."""
    await bank_at(four)
    answer = await four.http.get("/authorize", params=asked(Flow()))
    assert answer_of(answer)["error"] == "invalid_request"


async def test_p10_pkce_is_not_left_out(four: Issuer) -> None:
    keyed = await bank_at(four, requires_pkce=False)
    bare = {"code_challenge": None, "code_challenge_method": None}
    assert refusal(await push(four, keyed, Flow(), **bare)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"authentication_method": "client_secret_basic", "jwks": []}, "private_key_jwt or tls_client_auth"),
        ({"authentication_method": "none"}, "must rotate|private_key_jwt or tls_client_auth"),
        ({"id_token_signing_alg": "RS256"}, "ID tokens signed with"),
        ({"grant_types": ["authorization_code", "password"]}, "password grant"),
        ({"profile": "fapi1"}, "no profile"),
    ],
)
async def test_p10_a_client_that_contradicts_the_profile_is_not_registered(
    four: Issuer, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(AdministrationError, match=why):
        await bank_at(four, **changes)
