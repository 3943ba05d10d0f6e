"""Tokens bound to a key of the client (RFC 9449), at the server: the proofs are made by a library that is not ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from browser import CALLBACK, CLIENT, Flow, answer_of, sign_in
from client_keys import KeyedClient
from httpx2 import Response
from issuer_in_process import ISSUER, ORDERS, RESOURCE, SERVICE, Issuer, dev_settings, granted, refusal, running
from joserfc.jwk import ECKey
from proofs import ALGORITHMS, EC, KEYS, hash_of, proof, thumbprint

from identity.administration.api_keys import NewApiKey
from identity.oauth.registration.new_client import NewClient
from identity.oauth.registry import FAPI, AuthenticationMethod
from identity.store.embedded import EmbeddedValkey
from identity.verifier.profile import API_KEY_GRANT

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
USERINFO = ISSUER + "/userinfo"
OTHER = ECKey.generate_key("P-256")
INVALID_PROOF, INVALID_GRANT = (400, "invalid_dpop_proof"), (400, "invalid_grant")


async def ask(issuer: Issuer, grant_type: str, sent: str | list[str] | None = "", **fields: Any) -> Response:
    """A token request with a good proof, another one, several, or with None none."""
    auth = fields.pop("auth", None)
    proofs = [sent or proof()] if isinstance(sent, str) else sent or []
    headers = [("DPoP", each) for each in proofs]
    return await issuer.http.post("/token", data={"grant_type": grant_type, **fields}, headers=headers, auth=auth)


async def log_in(issuer: Issuer, sent: str | None = "", **fields: Any) -> Response:
    return await ask(issuer, "password", sent, username="alice", password="wonderland", **fields)


async def service_token(issuer: Issuer, sent: str | list[str] | None = "", **fields: Any) -> Response:
    return await ask(issuer, "client_credentials", sent, auth=SERVICE, **fields)


async def refresh(issuer: Issuer, token: str, sent: str | None = "", **fields: Any) -> Response:
    return await ask(issuer, "refresh_token", sent, refresh_token=token, **fields)


def bound(response: Response) -> dict[str, Any]:
    """The members of an answer with a bound token."""
    return granted(response, "DPoP")


def unbound(response: Response) -> dict[str, Any]:
    return granted(response)


async def jkt(issuer: Issuer, answer: dict[str, Any]) -> str | None:
    """The key that the access token is bound to."""
    found: str | None = (await issuer.claims(answer["access_token"])).get("cnf", {}).get("jkt")
    return found


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_a53_a_proof_binds_the_access_token(issuer: Issuer, alg: str) -> None:
    """RFC 9449 sections 5 and 6.1: of any grant, with every algorithm of the metadata."""
    answer = bound(await service_token(issuer, proof(alg=alg)))
    assert await jkt(issuer, answer) == thumbprint(KEYS[alg])
    metadata = (await issuer.http.get("/.well-known/oauth-authorization-server")).json()
    assert alg in metadata["dpop_signing_alg_values_supported"]


async def test_a53_the_token_of_an_api_key_is_bound_too(issuer: Issuer) -> None:
    """No grant can forget it: the pipeline binds what any of them decided."""
    _, key = await issuer.api_keys.create(NewApiKey("nightly", user="alice", scopes=["orders:read"]))
    await issuer.settled()
    answer = bound(await ask(issuer, API_KEY_GRANT, api_key=key))
    assert await jkt(issuer, answer) == thumbprint(EC)
    assert refusal(await ask(issuer, API_KEY_GRANT, "x", api_key=key)) == INVALID_PROOF


async def test_without_a_proof_nothing_is_bound(issuer: Issuer) -> None:
    """RFC 9449 section 5: and a session that began unbound may have bound access tokens later."""
    assert await jkt(issuer, unbound(await service_token(issuer, None))) is None
    answer = unbound(await log_in(issuer, None))
    answer = bound(await refresh(issuer, answer["refresh_token"]))
    assert await jkt(issuer, answer) == thumbprint(EC)
    unbound(await refresh(issuer, answer["refresh_token"], None))


def at(address: str) -> str:
    return proof(address=address)


WRONG: dict[str, Callable[[], Any]] = {
    "1 two headers": lambda: [proof(), proof()],
    "2 no JWT": lambda: "x",
    "3 no jti": lambda: proof(jti=None),
    "4 another type": lambda: proof(header={"typ": "JWT"}),
    "5 an algorithm that is not on the list": lambda: proof(alg="ES384", key=ECKey.generate_key("P-384")),
    "6 another's signature": lambda: proof(key=OTHER, header={"jwk": EC.as_dict(private=False)}),
    "7 a private key": lambda: proof(header={"jwk": EC.as_dict(private=True)}),
    "8 another method": lambda: proof("GET"),
    "9 another endpoint": lambda: at(USERINFO),
    "9 another server": lambda: at("https://evil.example/token"),
    "11 old": lambda: proof(iat=int(time.time()) - 62),
    "11 from the future": lambda: proof(iat=int(time.time()) + 61),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
async def test_a53_a_proof_that_fails_a_check_is_refused(lasting_issuer: Issuer, make: Callable[[], Any]) -> None:
    """RFC 9449 section 4.3, by its number; 10 and 12 have tests of their own."""
    assert refusal(await service_token(lasting_issuer, make())) == INVALID_PROOF


async def test_p10_proofs_within_ten_seconds_of_skew_are_taken(issuer: Issuer) -> None:
    """And the address is compared after normalisation, the header's name without regard to case."""
    for skew in (-50, 9):
        bound(await service_token(issuer, proof(iat=int(time.time()) + skew)))
    bound(await service_token(issuer, at("HTTP://127.0.0.1:8000/%74oken?a=b#c")))
    headers = {"dpop": proof()}
    data = {"grant_type": "client_credentials"}
    bound(await issuer.http.post("/token", data=data, headers=headers, auth=SERVICE))


async def test_a60_the_host_of_the_request_says_nothing_about_the_address(issuer: Issuer) -> None:
    """A proof that was made for another server is not good here because somebody says so."""
    headers = {"DPoP": at("http://evil.example/token"), "Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    data = {"grant_type": "client_credentials"}
    assert refusal(await issuer.http.post("/token", data=data, headers=headers, auth=SERVICE)) == INVALID_PROOF


async def test_f13_of_fifty_uses_of_a_proof_at_two_replicas_one_succeeds(
    issuer: Issuer, start_issuer: StartIssuer
) -> None:
    """A53, RFC 9449 section 11.1: and afterwards none, at either."""
    sent = proof()
    async with start_issuer() as replica:
        servers = [issuer, replica]
        answers = await asyncio.gather(*(service_token(servers[n % 2], sent) for n in range(50)))
        good = [each for each in answers if each.status_code == 200]
        assert len(good) == 1
        assert {refusal(each) for each in answers if each is not good[0]} == {INVALID_PROOF}
        for server in servers:
            assert refusal(await service_token(server, sent)) == INVALID_PROOF
        bound(await service_token(replica))


async def test_f13_a_proof_and_a_session_together_are_used_once(issuer: Issuer) -> None:
    """The retry window repeats a refresh, not a proof; with a new proof the same successor is given again (A46)."""
    answer, sent = bound(await log_in(issuer)), proof()
    answers = await asyncio.gather(*(refresh(issuer, answer["refresh_token"], sent) for _ in range(20)))
    assert sum(each.status_code == 200 for each in answers) == 1
    (first,) = (bound(each) for each in answers if each.status_code == 200)
    again = bound(await refresh(issuer, answer["refresh_token"]))
    assert again["refresh_token"] == first["refresh_token"]


async def test_ids_are_unique_for_each_key_and_not_for_all(issuer: Issuer) -> None:
    """RFC 9449 section 11.1: who guesses the next id of another uses nothing up."""
    bound(await service_token(issuer, proof(jti="one")))
    bound(await service_token(issuer, proof(jti="one", key=OTHER)))
    assert refusal(await service_token(issuer, proof(jti="one"))) == INVALID_PROOF


async def test_a_request_that_is_refused_for_something_else_uses_no_proof_up(issuer: Issuer) -> None:
    """A failed check uses nothing up, and nobody fills Redis without a credential."""
    sent = proof()
    assert refusal(await service_token(issuer, sent, scope="unheard:of")) == (400, "invalid_scope")
    assert refusal(await refresh(issuer, "invented", sent)) == INVALID_GRANT
    wrong = await ask(issuer, "client_credentials", sent, auth=("demo-service", "wrong"))
    assert refusal(wrong) == (401, "invalid_client")
    bound(await service_token(issuer, sent))


async def test_a53_the_session_of_a_public_client_is_bound_to_its_key(
    issuer: Issuer, start_issuer: StartIssuer
) -> None:
    """RFC 9449 section 5: a stolen refresh token is worth nothing without the key, at any replica, and nothing is used up."""
    answer = bound(await log_in(issuer))
    token = answer["refresh_token"]
    async with start_issuer() as replica:
        for server in (issuer, replica):
            assert refusal(await refresh(server, token, None)) == INVALID_PROOF
            assert refusal(await refresh(server, token, proof(key=OTHER))) == INVALID_GRANT
        for server in (replica, issuer):
            answer = bound(await refresh(server, answer["refresh_token"]))
            assert await jkt(server, answer) == thumbprint(EC)


async def test_a53_the_session_of_a_client_with_a_secret_is_bound_to_that_already(issuer: Issuer) -> None:
    """RFC 9449 section 5: it may change its key."""
    new = NewClient("shop", ["password", "refresh_token"], ["orders:read"])
    _, secret = await issuer.clients.create(new)
    await issuer.settled()
    auth = ("shop", secret)
    answer = bound(await log_in(issuer, auth=auth, scope="orders:read"))
    answer = bound(await refresh(issuer, answer["refresh_token"], proof(key=OTHER), auth=auth))
    assert await jkt(issuer, answer) == thumbprint(OTHER)


async def code_of(issuer: Issuer, flow: Flow, **changes: Any) -> dict[str, Any]:
    code = (await sign_in(issuer, flow, **changes))["code"]
    return {"code": code, "code_verifier": flow.verifier, "redirect_uri": CALLBACK, "client_id": CLIENT}


async def test_a22_a_code_is_for_the_key_that_the_request_named(issuer: Issuer) -> None:
    """RFC 9449 section 10: who has the code, and even the verifier, needs the key; the wrong one uses nothing up (A25)."""
    fields = await code_of(issuer, Flow(), dpop_jkt=thumbprint(EC))
    assert refusal(await ask(issuer, "authorization_code", None, **fields)) == INVALID_PROOF
    assert refusal(await ask(issuer, "authorization_code", proof(key=OTHER), **fields)) == INVALID_GRANT
    answer = bound(await ask(issuer, "authorization_code", **fields))
    assert await jkt(issuer, answer) == thumbprint(EC)
    fields = {"client_id": CLIENT}
    assert refusal(await refresh(issuer, answer["refresh_token"], proof(key=OTHER), **fields)) == INVALID_GRANT
    bound(await refresh(issuer, answer["refresh_token"], **fields))


async def test_a22_a_code_for_no_key_may_be_redeemed_with_one(issuer: Issuer) -> None:
    """The session begins bound: it is a public client's."""
    answer = bound(await ask(issuer, "authorization_code", **await code_of(issuer, Flow())))
    assert refusal(await refresh(issuer, answer["refresh_token"], None, client_id=CLIENT)) == INVALID_PROOF


@pytest.mark.parametrize("wrong", ["x", "x" * 44, "=" * 43, "\xe9" * 43])
async def test_a22_a_thumbprint_that_is_none_is_told_to_the_client(issuer: Issuer, wrong: str) -> None:
    answer = answer_of(await issuer.http.get("/authorize", params=Flow().parameters(dpop_jkt=wrong)))
    assert answer["error"] == "invalid_request"


PAR = ISSUER + "/par"


async def push(issuer: Issuer, flow: Flow, sent: str, **changes: Any) -> Response:
    return await issuer.http.post("/par", data=flow.parameters(**changes), headers={"DPoP": sent})


async def test_a22_a_request_that_was_pushed_with_a_proof_is_for_its_key(issuer: Issuer) -> None:
    """RFC 9449 section 10.1."""
    flow = Flow()
    reference = (await push(issuer, flow, proof(address=PAR))).json()["request_uri"]
    carried = {**dict.fromkeys(flow.parameters()), "client_id": CLIENT, "request_uri": reference}
    fields = await code_of(issuer, flow, **carried)
    assert refusal(await ask(issuer, "authorization_code", proof(key=OTHER), **fields)) == INVALID_GRANT
    assert refusal(await ask(issuer, "authorization_code", None, **fields)) == INVALID_PROOF
    assert await jkt(issuer, bound(await ask(issuer, "authorization_code", **fields))) == thumbprint(EC)


async def test_a53_a_request_is_pushed_with_a_proof_for_that_once(issuer: Issuer) -> None:
    """One for the token endpoint is another's, and one that names a key is not pushed with the proof of another."""
    sent = proof(address=PAR)
    answer = await push(issuer, Flow(), sent, dpop_jkt=thumbprint(EC))
    assert answer.status_code == 201
    for wrong, named in ((sent, None), (proof(), None), (proof(address=PAR), thumbprint(OTHER))):
        assert refusal(await push(issuer, Flow(), wrong, dpop_jkt=named)) == INVALID_PROOF


async def test_a_client_that_wants_bound_tokens_gets_no_other(issuer: Issuer) -> None:
    """RFC 9449 section 5.2: whichever grant it uses."""
    new = NewClient(
        "careful",
        ["password", "refresh_token"],
        ["orders:read"],
        authentication_method=AuthenticationMethod.NONE,
        dpop_bound_access_tokens=True,
    )
    await issuer.clients.create(new)
    await issuer.settled()
    assert refusal(await log_in(issuer, None, client_id="careful")) == INVALID_PROOF
    answer = bound(await log_in(issuer, client_id="careful", scope="orders:read"))
    assert refusal(await refresh(issuer, answer["refresh_token"], None, client_id="careful")) == INVALID_PROOF
    bound(await refresh(issuer, answer["refresh_token"], client_id="careful"))


async def test_p10_the_proofs_of_a_fapi_client_are_signed_as_its_profile_asks(issuer: Issuer) -> None:
    """FAPI 2.0 security profile, section 5.4.1: RS256 is left out; and its tokens are bound without being asked for that."""
    key = KeyedClient()
    new = NewClient(
        key.client_id,
        ["client_credentials"],
        ["orders:read"],
        authentication_method=AuthenticationMethod.PRIVATE_KEY_JWT,
        jwks=[key.jwk],
        profile=FAPI,
        id_token_signing_alg="PS256",
    )
    await issuer.clients.create(new)
    await issuer.settled()
    for sent in (None, proof(alg="RS256")):
        answer = await ask(issuer, "client_credentials", sent, scope="orders:read", **key.assertion())
        assert refusal(answer) == INVALID_PROOF
    for alg in ("PS256", "ES256", "EdDSA"):
        bound(await ask(issuer, "client_credentials", proof(alg=alg), scope="orders:read", **key.assertion()))


async def test_a53_a_nonce_is_asked_for_and_taken_by_every_replica(start_issuer: StartIssuer) -> None:
    """10, RFC 9449 section 8; an answer brings the next one."""
    async with start_issuer(dpop_nonce=True) as issuer, start_issuer(dpop_nonce=True) as replica:
        asked = await service_token(issuer)
        assert refusal(asked) == (400, "use_dpop_nonce")
        nonce = asked.headers["dpop-nonce"]
        answer = await service_token(replica, proof(nonce=nonce))
        bound(answer)
        bound(await service_token(issuer, proof(nonce=answer.headers["dpop-nonce"])))
        pushed = await push(issuer, Flow(), proof(address=PAR))
        assert refusal(pushed) == (400, "use_dpop_nonce")
        pushed = await push(replica, Flow(), proof(address=PAR, nonce=pushed.headers["dpop-nonce"]))
        bound(await service_token(issuer, proof(nonce=pushed.headers["dpop-nonce"])))
        for wrong in (nonce + "x", "x", "1." + nonce.partition(".")[2]):
            assert refusal(await service_token(issuer, proof(nonce=wrong))) == (400, "use_dpop_nonce")
        unbound(await service_token(issuer, None))


async def test_where_no_nonce_is_asked_for_none_is_given(issuer: Issuer) -> None:
    """RFC 9449 section 8: one that a client brings from elsewhere does no harm."""
    answer = await service_token(issuer, proof(nonce="of another server"))
    bound(answer)
    assert "dpop-nonce" not in answer.headers


def access(token: str, scheme: str = "DPoP", method: str = "GET", **wrong: Any) -> dict[str, str]:
    return {"Authorization": f"{scheme} {token}", "DPoP": proof(method, wrong.pop("htu", USERINFO), token, **wrong)}


async def userinfo_refusal(issuer: Issuer, headers: Any, method: str = "GET") -> tuple[int, str, str]:
    answer = await issuer.http.request(method, "/userinfo", headers=headers)
    return *refusal(answer), answer.headers["www-authenticate"]


async def test_v13_userinfo_takes_a_bound_token_with_its_proof_and_not_without(issuer: Issuer) -> None:
    """RFC 9449 section 7: a bound token is no bearer token, and the other way round."""
    token = bound(await ask(issuer, "authorization_code", **await code_of(issuer, Flow())))["access_token"]
    fields = await code_of(issuer, Flow(), prompt="login")
    bearer = unbound(await ask(issuer, "authorization_code", None, **fields))["access_token"]
    for scheme, method in (("DPoP", "GET"), ("dpop", "POST")):
        answer = await issuer.http.request(method, "/userinfo", headers=access(token, scheme, method))
        assert answer.status_code == 200, answer.text
    algs = 'algs="ES256 PS256 RS256 EdDSA Ed25519"'
    bad_token = (401, "invalid_token", f'DPoP realm="identity", error="invalid_token", {algs}')
    bad_proof = (401, "invalid_dpop_proof", f'DPoP realm="identity", error="invalid_dpop_proof", {algs}')
    assert await userinfo_refusal(issuer, {"Authorization": f"Bearer {token}"}) == bad_token
    assert await userinfo_refusal(issuer, access(token, "Bearer")) == bad_token
    assert await userinfo_refusal(issuer, access(bearer)) == bad_token
    assert await userinfo_refusal(issuer, access(token, key=OTHER)) == bad_token
    assert await userinfo_refusal(issuer, {"Authorization": f"DPoP {token}"}) == bad_proof
    for wrong in ({"ath": hash_of(bearer)}, {"ath": None}, {"htm": "POST"}, {"htu": ISSUER + "/token"}, {"iat": 1}):
        assert await userinfo_refusal(issuer, access(token, **wrong)) == bad_proof
    sent = access(token)
    assert (await issuer.http.get("/userinfo", headers=sent)).status_code == 200
    assert await userinfo_refusal(issuer, sent) == bad_proof
    answer = await issuer.http.post("/userinfo", data={"access_token": token})
    assert refusal(answer) == (401, "invalid_token")
    assert await userinfo_refusal(issuer, access("x.y.z")) == bad_token


async def test_introspection_says_what_a_token_is_bound_to(issuer: Issuer) -> None:
    """RFC 9449 section 6.2."""
    for answer, kind, claim in (
        (bound(await service_token(issuer)), "DPoP", {"jkt": thumbprint(EC)}),
        (unbound(await service_token(issuer, None)), "Bearer", None),
    ):
        asked = await issuer.http.post("/introspect", data={"token": answer["access_token"]}, auth=RESOURCE)
        told = asked.json()
        assert (told["active"], told["token_type"], told.get("cnf")) == (True, kind, claim)


async def test_a59_web_pages_of_registered_origins_may_send_proofs_and_read_nonces(issuer: Issuer) -> None:
    ask_first = {
        "Origin": ORDERS,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "dpop",
    }
    preflight = await issuer.http.options("/token", headers=ask_first)
    assert "DPoP" in preflight.headers["access-control-allow-headers"].split(", ")
    answer = await issuer.http.post("/token", data={"grant_type": "x"}, headers={"Origin": ORDERS})
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"DPoP-Nonce", "WWW-Authenticate"} <= set(exposed)


async def test_i5_nothing_bound_is_issued_while_nobody_knows_which_proofs_were_used(site: Path) -> None:
    """A53: 503, and the same request with the same proof succeeds when Redis is back; what needs no Redis goes on."""
    valkey = EmbeddedValkey(site / "data")
    valkey.start()
    try:
        async with running(dev_settings(site, redis_url=valkey.url)) as issuer:
            sent = proof()
            bound(await service_token(issuer))
            valkey.stop()
            assert refusal(await service_token(issuer, sent)) == (503, "temporarily_unavailable")
            valkey.start()
            async with asyncio.timeout(10):
                while (answer := await service_token(issuer, sent)).status_code == 503:
                    await asyncio.sleep(0.05)
            bound(answer)
    finally:
        valkey.stop()


async def test_a64_no_answer_and_no_log_holds_a_proof(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    sent = proof(htu="https://evil.example/token")
    answer = await service_token(issuer, sent)
    assert refusal(answer) == INVALID_PROOF
    written = capsys.readouterr()
    for part in sent.split("."):
        assert part not in answer.text + written.out + written.err
