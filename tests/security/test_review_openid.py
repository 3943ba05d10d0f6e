"""Requests that lead people to strangers, make this server ask strangers too often, or fail in a way that nobody meant."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from browser import Flow, agreed, answer_of, hidden_fields, redeem, submit, to_login
from certificates import Holder
from client_keys import KeyedClient, by_hand
from issuer_in_process import Issuer, granted, refusal

from identity.oauth.published_keys import PublishedClientKeys
from identity.oauth.registration.new_client import NewClient
from identity.oauth.registry import RegisteredClient
from identity.outbound.errors import OutboundError
from identity.verifier.certificates import CertificateHeader

PHISHER = "https://phisher.example/login"
URI = "https://client.example/jwks.json"


@pytest.fixture
async def inviting(start_issuer: Any) -> AsyncIterator[Issuer]:
    async with start_issuer(registration="token") as issuer:
        yield issuer


async def hint_of_a_phisher(issuer: Issuer, username: str, password: str) -> str:
    """Registers a client, and signs somebody in with it: its own ID token."""
    token = await issuer.invitations.invite("anybody", 1, timedelta(days=1))
    document = {
        "redirect_uris": [PHISHER],
        "post_logout_redirect_uris": [PHISHER],
        "token_endpoint_auth_method": "none",
    }
    made = await issuer.http.post("/register", json=document, headers={"Authorization": f"Bearer {token}"})
    client, flow = {"client_id": made.json()["client_id"], "redirect_uri": PHISHER, "scope": "openid"}, Flow()
    signed_in = await submit(issuer, await to_login(issuer, flow, **client), username, password)
    code = answer_of(await agreed(issuer, signed_in), PHISHER)["code"]
    tokens = granted(await redeem(issuer, flow, code, client_id=client["client_id"], redirect_uri=PHISHER))
    return str(tokens["id_token"])


@pytest.mark.parametrize("is_signed_in", [False, True])
async def test_a13_signing_out_leads_nobody_to_a_client_that_registered_itself(
    inviting: Issuer, is_signed_in: bool
) -> None:
    """RFC 9700 section 4.11.2: the hint is of whoever registered the client, and the browser somebody else's."""
    hint = await hint_of_a_phisher(inviting, "bob", "builder")
    inviting.http.cookies.clear()
    if is_signed_in:
        await agreed(inviting, await submit(inviting, await to_login(inviting, Flow())))
    link = {"id_token_hint": hint, "post_logout_redirect_uri": PHISHER, "state": "s"}
    answer = await inviting.http.get("/logout", params=link)
    assert answer.status_code == 200
    assert "phisher.example" not in answer.text + str(answer.headers)


async def test_p09_who_is_signed_in_with_such_a_client_goes_back_to_it(inviting: Issuer) -> None:
    hint = await hint_of_a_phisher(inviting, "alice", "wonderland")
    link = {"id_token_hint": hint, "post_logout_redirect_uri": PHISHER, "state": "s"}
    assert answer_of(await inviting.http.get("/logout", params=link), PHISHER) == {"state": "s"}


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
async def test_a33_a_time_with_too_many_digits_is_no_error_of_the_server(issuer: Issuer, name: str) -> None:
    """I6."""
    client, es256 = KeyedClient(), jwt.get_algorithm_by_name("ES256")
    new = NewClient("keyed", ["client_credentials"], ["orders:read"], jwks=[client.jwk])
    await issuer.clients.create(replace(new, authentication_method="private_key_jwt", default_resource="orders"))
    await issuer.settled()
    claims = client.claims(**{name: 10**400})
    made = by_hand({"alg": "ES256", "kid": "k1"}, claims, lambda signed: es256.sign(signed, client.key))
    answer = await issuer.token("client_credentials", client_id="keyed", **client.fields(made))
    assert refusal(answer) == (401, "invalid_client")


@dataclass
class SlowWeb:
    """Answers when it is told to."""

    answers: list[Any]
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    async def get_json(self, url: str, most_bytes: int, seconds: float) -> object:
        self.asked += 1
        await self.may_answer.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return json.loads(json.dumps(answer))


REMOTE = RegisteredClient(
    client_id="remote",
    secret_hashes=(),
    grant_types=frozenset(),
    redirect_uris=(),
    post_logout_redirect_uris=(),
    scopes=frozenset(),
    default_resource=None,
    rotates_refresh_tokens=False,
    is_enabled=True,
    is_trusted=False,
    name="",
    jwks_uri=URI,
)


async def test_a15_however_many_ask_at_once_a_stranger_is_asked_once() -> None:
    """Else whoever sends assertions that prove nothing has this server knock at an address of their choice as often (F21). One
    of them who leaves takes nothing from the others."""
    web = SlowWeb([{"keys": [KeyedClient().jwk]}])
    keys = PublishedClientKeys(web)  # type: ignore[arg-type]
    waiting = [asyncio.create_task(keys.of(REMOTE, "k1")) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    web.may_answer.set()
    found = await asyncio.gather(*waiting[1:])
    assert {each[0].kid for each in found} == {"k1"}
    assert web.asked == 1


async def test_a33_a_client_that_names_no_key_is_not_locked_out_by_one_failure() -> None:
    """Keys that were never fetched are looked for again as soon for an assertion without a `kid`."""
    now = 1000.0
    web = SlowWeb([OutboundError("away"), {"keys": [KeyedClient().jwk]}])
    web.may_answer.set()
    keys = PublishedClientKeys(web, lambda: now)  # type: ignore[arg-type]
    assert await keys.of(REMOTE) == ()
    assert await keys.of(REMOTE) == ()
    now += 11
    assert [key.kid for key in await keys.of(REMOTE)] == ["k1"]
    assert web.asked == 2


def test_a60_a_certificate_of_an_unknown_version_is_none() -> None:
    """I6: OpenSSL, and so a proxy, does not look at the version."""
    der = b64decode(Holder().structured.strip(":"))
    assert der.count(b"\xa0\x03\x02\x01\x02") == 1
    value = b":" + b64encode(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07")) + b":"
    request = {"headers": [(b"client-cert", value)], "client": ("127.0.0.1", 1)}
    assert CertificateHeader("Client-Cert", ["127.0.0.1"]).of(request) is None


async def test_u07_a_person_signs_out_everywhere_with_a_token_bound_to_a_certificate(start_issuer: Any) -> None:
    """V13: with the certificate it does what it says, and without it nothing."""
    async with start_issuer(client_certificate_header="Client-Cert", trusted_proxies="127.0.0.1") as issuer:
        new = NewClient("bound", ["password"], ["openid"], authentication_method="none", is_trusted=True)
        await issuer.clients.create(replace(new, certificate_bound_access_tokens=True))
        await issuer.settled()
        held = {"Client-Cert": Holder().structured}
        data = {"grant_type": "password", "client_id": "bound", "username": "alice", "password": "wonderland"}
        tokens = granted(await issuer.http.post("/token", data={**data, "scope": "openid"}, headers=held))
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await issuer.http.post("/logout/everywhere", headers=headers)).status_code == 401
        assert (await issuer.http.post("/logout/everywhere", headers={**headers, **held})).status_code == 200


async def test_i2_a_code_of_an_ended_login_begins_nothing_that_outlives_it(issuer: Issuer) -> None:
    """F12, A48: also at a server that has not read the rule yet. Nobody would ever ask about the login again."""
    follower = issuer.app.state.follower
    read_after = follower._stream.read_after

    async def late(*sent: Any) -> Any:
        rules = await read_after(*sent)
        await asyncio.sleep(0.5)
        return rules

    flow = Flow()
    follower._stream.read_after = late
    try:
        page = await to_login(issuer, flow, scope="openid offline_access")
        code = answer_of(await agreed(issuer, await submit(issuer, page)))["code"]
        await asyncio.sleep(0.6)
        asks = await issuer.http.get("/logout")
        assert (await issuer.http.post("/logout/confirm", data=hidden_fields(asks))).status_code == 200
        assert refusal(await redeem(issuer, flow, code)) == (400, "invalid_grant")
    finally:
        follower._stream.read_after = read_after
