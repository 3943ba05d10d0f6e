"""What a client asks for by name (OpenID Connect Core section 5.5), how sure a login has to be, and staying signed in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from browser import CALLBACK, CLIENT, Flow, answer_of, consent_page, decide, redeem, sign_in, submit, to_login
from issuer_in_process import Issuer, granted, refusal

from identity.administration.consents import Consents
from identity.oauth.registration.new_client import NewClient

ONE_FACTOR = "urn:identity:acr:1fa"
REFUSED = (400, "invalid_grant")


async def signed_in(issuer: Issuer, claims: object = None, **changes: Any) -> dict[str, Any]:
    """The tokens of a client that asks for these claims."""
    flow = Flow()
    asked = {"scope": "openid orders:read", **changes} | ({"claims": json.dumps(claims)} if claims else {})
    answer = await sign_in(issuer, flow, **asked)
    return granted(await redeem(issuer, flow, answer["code"], client_id=asked.get("client_id", CLIENT)))


async def userinfo(issuer: Issuer, tokens: dict[str, Any]) -> Any:
    answer = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_p05_single_claims_are_told_where_they_were_asked_for(issuer: Issuer) -> None:
    """And again after a refresh; claims that nobody knows are asked for in vain."""
    asked = {
        "userinfo": {"email": {"essential": True}, "phone_number": None, "unheard_of": None},
        "id_token": {"name": None, "auth_time": {"essential": True}},
        "unheard_of": 1,
    }
    tokens = await signed_in(issuer, asked)
    for each in (tokens, granted(await issuer.refresh(tokens["refresh_token"], client_id=CLIENT))):
        told = await userinfo(issuer, each)
        assert told == {"sub": told["sub"], "email": "alice@example.com"}
        identity = await issuer.claims(each["id_token"], CLIENT)
        assert identity["name"] == "Alice"
        assert "email" not in identity
        assert identity["acr"] == (await issuer.claims(each["access_token"]))["acr"] == ONE_FACTOR


async def test_p05_a_claim_asked_for_by_name_is_allowed_like_its_scope(issuer: Issuer) -> None:
    """A65: whoever asks for an e-mail address asks the person, in whatever way; and it is taken back in the same way."""
    flow = Flow()
    asked = {"scope": "openid", "claims": json.dumps({"userinfo": {"email": None}})}
    page = await consent_page(issuer, await submit(issuer, await to_login(issuer, flow, **asked)))
    assert "See your e-mail address" in page.text
    tokens = granted(await redeem(issuer, flow, answer_of(await decide(issuer, page))["code"]))
    (consent,) = await Consents(issuer.stores.ledger, "test").of("alice")
    assert consent.scopes == ["email", "openid"]
    again = await issuer.http.get("/authorize", params=Flow().parameters(**asked, prompt="none"))
    assert "code" in answer_of(again)
    more = {**asked, "claims": json.dumps({"id_token": {"phone_number": None}})}
    again = await issuer.http.get("/authorize", params=Flow().parameters(**more, prompt="none"))
    assert answer_of(again)["error"] == "consent_required"
    assert "email" in await userinfo(issuer, tokens)


async def test_a41_a_client_that_may_not_have_a_scope_does_not_get_its_claims_by_name(issuer: Issuer) -> None:
    new = NewClient("bare", ["authorization_code"], ["openid"], authentication_method="none", redirect_uris=[CALLBACK])
    await issuer.clients.create(new)
    await issuer.settled()
    everything = {"userinfo": {"email": None}, "id_token": {"name": None}}
    tokens = await signed_in(issuer, everything, client_id="bare", scope="openid")
    assert (await userinfo(issuer, tokens)).keys() == {"sub"}
    assert "name" not in await issuer.claims(tokens["id_token"], "bare")


@pytest.mark.parametrize("claims", ["{", "[]", '{"userinfo": []}', '{"id_token": {"acr": 1}}', '{"a": 1, "a": 2}', "é"])
async def test_p05_a_malformed_claims_parameter_is_the_clients_mistake(issuer: Issuer, claims: str) -> None:
    answer = await issuer.http.get("/authorize", params=Flow().parameters(claims=claims))
    assert answer_of(answer)["error"] == "invalid_request"


async def test_p05_no_claim_by_name_replaces_what_the_token_itself_says(issuer: Issuer) -> None:
    """A62: `iss`, `aud` and the rest are not the client's to choose."""
    own = {name: {"value": "x"} for name in ("iss", "aud", "exp", "nonce", "sid", "at_hash", "amr")}
    tokens = await signed_in(issuer, {"id_token": own})
    identity = await issuer.claims(tokens["id_token"], CLIENT)
    assert "x" not in identity.values()


async def test_a14_somebody_else_than_the_client_means_has_to_log_in(issuer: Issuer) -> None:
    """P05: `sub` by value is what a hint is (section 5.5.1)."""
    tokens = await signed_in(issuer)
    mine = (await issuer.claims(tokens["id_token"], CLIENT))["sub"]

    async def ask(subject: str) -> dict[str, str]:
        claims = json.dumps({"id_token": {"sub": {"value": subject}}})
        sent = Flow().parameters(scope="openid", claims=claims, prompt="none")
        return answer_of(await issuer.http.get("/authorize", params=sent))

    assert "code" in await ask(mine)
    assert (await ask("somebody-else"))["error"] == "login_required"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"essential": True, "values": ["urn:x", ONE_FACTOR]}, None),
        ({"essential": True, "value": ONE_FACTOR}, None),
        ({"essential": True}, None),
        ({"value": "urn:x"}, None),
        ({"essential": True, "values": ["urn:x"]}, "unmet_authentication_requirements"),
    ],
)
async def test_a14_a_login_of_another_kind_will_not_do_if_that_is_essential(
    issuer: Issuer, how: dict[str, Any], error: str | None
) -> None:
    """P05, OpenID Connect Core section 5.5.1.1; with `acr_values`, it is a wish."""
    await signed_in(issuer)
    sent = Flow().parameters(scope="openid", claims=json.dumps({"id_token": {"acr": how}}), acr_values="urn:y")
    assert answer_of(await issuer.http.get("/authorize", params=sent)).get("error") == error


async def sign_out(issuer: Issuer, tokens: dict[str, Any]) -> None:
    answer = await issuer.http.get("/logout", params={"id_token_hint": tokens["id_token"]})
    assert answer.status_code == 200
    await issuer.settled()


async def test_a57_a_session_that_was_allowed_to_stay_outlives_the_login(issuer: Issuer) -> None:
    """OpenID Connect Core section 11; the other one, of the same login, does not."""
    staying = await signed_in(issuer, scope="openid offline_access orders:read")
    going = await signed_in_again(issuer, scope="openid orders:read")
    assert "offline_access" in staying["scope"]
    await sign_out(issuer, staying)
    assert refusal(await issuer.refresh(going["refresh_token"], client_id=CLIENT)) == REFUSED
    after = granted(await issuer.refresh(staying["refresh_token"], client_id=CLIENT))
    await userinfo(issuer, staying)
    await userinfo(issuer, after)


async def signed_in_again(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    flow = Flow()
    answer = answer_of(await issuer.http.get("/authorize", params=flow.parameters(**changes)))
    return granted(await redeem(issuer, flow, answer["code"]))


async def test_a48_a_code_is_of_a_login_that_is_there_whatever_is_to_outlive_it(issuer: Issuer) -> None:
    tokens = await signed_in(issuer, scope="openid offline_access")
    flow = Flow()
    again = await issuer.http.get("/authorize", params=flow.parameters(scope="openid offline_access"))
    await sign_out(issuer, tokens)
    assert refusal(await redeem(issuer, flow, answer_of(again)["code"])) == REFUSED


async def test_a48_staying_ends_with_the_consent_and_with_all_sessions_of_the_person(issuer: Issuer) -> None:
    """CVE-2025-12110."""
    staying = await signed_in(issuer, scope="openid offline_access")
    await Consents(issuer.stores.ledger, "test").withdraw("alice", CLIENT)
    await issuer.settled()
    assert refusal(await issuer.refresh(staying["refresh_token"], client_id=CLIENT)) == REFUSED
    staying = await signed_in(issuer, scope="openid offline_access", prompt="login")
    await issuer.people.disable("alice")
    await issuer.people.enable("alice")
    await issuer.settled()
    assert refusal(await issuer.refresh(staying["refresh_token"], client_id=CLIENT)) == REFUSED


async def test_a41_nobody_stays_who_never_logged_in_at_a_browser(issuer: Issuer) -> None:
    """There is no login to outlive; asked for alone, nothing is left."""
    grants = ["password", "client_credentials", "refresh_token"]
    new = NewClient("tool", grants, ["openid", "offline_access", "orders:read"], default_resource="orders")
    _, secret = await issuer.clients.create(new)
    await issuer.settled()
    assert secret is not None
    asked = {"auth": ("tool", secret), "scope": "offline_access orders:read"}
    assert granted(await issuer.login("alice", **asked))["scope"] == "orders:read"
    assert granted(await issuer.token("client_credentials", **asked))["scope"] == "orders:read"
    asked["scope"] = "offline_access"
    assert refusal(await issuer.login("alice", **asked)) == (400, "invalid_scope")
