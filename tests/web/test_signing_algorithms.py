"""What signs for whom: the algorithm that a client or a resource chose, from the keys there are, and never another."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import jwt
import pytest
import test_backchannel_logout as backchannel
from browser import CALLBACK, Flow, answer_of, redeem, sign_in
from issuer_in_process import ISSUER, Issuer, granted, refusal
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet as JoserfcKeySet
from logout_hearer import claims_of, relying_party

from identity.administration.api_keys import NewApiKey
from identity.administration.key_compromise import KeyCompromise
from identity.keyring.states import KeyringError
from identity.oauth.registration.new_client import NewClient
from identity.verifier import Verifier
from identity.verifier.profile import ALGORITHMS
from identity.verifier.public_keys import read_jwks

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
REPORTS = "https://reports.example"
AFTER = "http://127.0.0.1:54321/"
OTHERS = ("PS256", "ES256", "EdDSA")


async def register(issuer: Issuer, client: str, resource: str) -> None:
    """A client whose ID tokens, and a resource whose access tokens, are signed with these."""
    await issuer.resources.create("reports", REPORTS, ["reports:read"], signing_alg=resource)
    await issuer.roles.create("reporter", ["reports:read"])
    await issuer.people.give_role("alice", "reporter")
    new = NewClient(
        "reader",
        ["authorization_code", "refresh_token", "password"],
        ["openid", "reports:read", "orders:read"],
        authentication_method="none",
        redirect_uris=[CALLBACK],
        post_logout_redirect_uris=[AFTER],
        is_trusted=True,
        id_token_signing_alg=client,
    )
    await issuer.clients.create(new)
    await issuer.settled()


async def tokens_of(issuer: Issuer) -> dict[str, Any]:
    flow = Flow()
    answer = await sign_in(issuer, flow, client_id="reader", scope="openid reports:read")
    return granted(await redeem(issuer, flow, answer["code"], client_id="reader"))


async def published(issuer: Issuer) -> dict[str, dict[str, str]]:
    return {key["kid"]: key for key in (await issuer.http.get("/.well-known/jwks.json")).json()["keys"]}


def alg_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["alg"])


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # joserfc knows it by both names (RFC 9864)
@pytest.mark.parametrize(("client", "resource"), [*zip(OTHERS, reversed(OTHERS), strict=True), ("EdDSA", "RS256")])
async def test_k02_tokens_are_signed_with_what_their_receiver_chose(four: Issuer, client: str, resource: str) -> None:
    """A62: header and key agree, at_hash is of the ID token's algorithm, and joserfc accepts both."""
    await register(four, client, resource)
    first = await tokens_of(four)
    keys = await published(four)
    for tokens in (first, granted(await four.refresh(first["refresh_token"], client_id="reader"))):
        for name, alg in (("id_token", client), ("access_token", resource)):
            header = jwt.get_unverified_header(tokens[name])
            assert (header["alg"], keys[header["kid"]]["alg"]) == (alg, alg)
        trusted = JoserfcKeySet.import_key_set({"keys": list(keys.values())})  # type: ignore[typeddict-item]
        identity = joserfc_jwt.decode(tokens["id_token"], trusted, algorithms=[client])
        assert (identity.claims["iss"], identity.claims["aud"]) == (ISSUER, "reader")
        digest = (hashlib.sha512 if client == "EdDSA" else hashlib.sha256)(tokens["access_token"].encode()).digest()
        half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
        assert identity.claims["at_hash"] == half
        access = joserfc_jwt.decode(tokens["access_token"], trusted, algorithms=[resource])
        assert (access.header["typ"], access.claims["aud"]) == ("at+jwt", REPORTS)


@pytest.mark.parametrize("alg", OTHERS)
async def test_tokens_of_every_algorithm_are_known_again(four: Issuer, alg: str) -> None:
    """By introspection, by the revocation endpoint, and as a hint at logout (A57)."""
    _, secret = await four.resources.create("others", "https://others.example", [])
    await register(four, alg, alg)
    tokens = await tokens_of(four)
    await four.resources.create("x", "https://x.example", [])  # any change: every process looks again
    await four.settled()
    told = await four.http.post("/introspect", data={"token": tokens["access_token"]}, auth=("others", secret))
    assert told.json() == {"active": False}, "of another resource"
    out = await four.http.get(
        "/logout", params={"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": AFTER}
    )
    assert answer_of(out, AFTER) == {}
    again = await tokens_of(four)
    assert (await four.revoke(again["access_token"], client_id="reader")).status_code == 200
    await four.settled()
    assert refusal(await four.refresh(again["refresh_token"], client_id="reader")) == (400, "invalid_grant")


async def test_userinfo_and_introspection_read_what_other_keys_signed(four: Issuer) -> None:
    resource, secret = await four.resources.create("reports2", "https://two.example", ["two:read"], signing_alg="ES256")
    new = NewClient("two", ["client_credentials"], ["two:read"])
    _, client_secret = await four.clients.create(new)
    await four.settled()
    token = granted(await four.token("client_credentials", ("two", str(client_secret)), scope="two:read"))[
        "access_token"
    ]
    assert alg_of(token) == resource.signing_alg == "ES256"
    told = await four.http.post("/introspect", data={"token": token}, auth=("reports2", secret))
    assert told.json()["active"] is True


async def test_an_api_key_gets_tokens_of_the_resources_algorithm(four: Issuer) -> None:
    await four.resources.create("keyed", "https://keyed.example", ["keyed:read"], signing_alg="EdDSA")
    await four.clients.create(NewClient("robot", ["client_credentials"], ["keyed:read"]))
    _, text = await four.api_keys.create(NewApiKey("nightly", client_id="robot", scopes=["keyed:read"]))
    await four.settled()
    assert alg_of(granted(await four.exchange(text))["access_token"]) == "EdDSA"


async def test_v01_a_service_accepts_what_it_allowed_and_reads_what_is_served(four: Issuer) -> None:
    """The served JWKS holds keys of four algorithms: one verifier takes its own of them, another the other."""
    body = (await four.http.get("/.well-known/jwks.json")).content
    assert {key.algorithm for key in read_jwks(body).values()} == {"RS256"}
    for alg in ALGORITHMS:
        assert {key.algorithm for key in read_jwks(body, [alg]).values()} == {alg}
    Verifier(ISSUER, REPORTS, algorithms=("RS256", "ES256"))


async def test_p02_the_metadata_names_what_signs_and_nothing_else(four: Issuer) -> None:
    document = (await four.http.get("/.well-known/openid-configuration")).json()
    assert document["id_token_signing_alg_values_supported"] == list(ALGORITHMS)


async def test_k01_an_algorithm_that_is_added_is_promised_when_it_signs(issuer: Issuer) -> None:
    """Published at once, in the metadata after its first rotation, and refused for whoever registers before."""
    address = "/.well-known/openid-configuration"
    added = await issuer.keys.add("ES256")
    await until_version(issuer, added.version)
    assert added.nexts["ES256"].kid in await published(issuer)
    assert (await issuer.http.get(address)).json()["id_token_signing_alg_values_supported"] == ["RS256"]
    with pytest.raises(KeyringError, match="No key signs with ES256"):
        await issuer.keys.require_signing("ES256")
    with pytest.raises(KeyringError, match="may not sign yet"):
        await issuer.keys.rotate(algorithms=["ES256"])
    rotated = await issuer.keys.rotate(force=True, algorithms=["ES256"])
    await until_version(issuer, rotated.version)
    await issuer.keys.require_signing("ES256")
    assert rotated.currents["ES256"] == rotated.signing[2]
    assert rotated.current == added.current, "nothing else was rotated"
    assert (await issuer.http.get(address)).json()["id_token_signing_alg_values_supported"] == ["RS256", "ES256"]


async def until_version(issuer: Issuer, version: int) -> None:
    async with asyncio.timeout(5):
        while issuer.app.state.keys.now.keyring.version < version:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("client", "resource"), [("ES256", "RS256"), ("RS256", "ES256")])
async def test_k04_what_no_key_signs_is_not_signed_with_another(issuer: Issuer, client: str, resource: str) -> None:
    """As after a keyring was restored that is older: 503, and nothing is used up; it goes on when a key signs."""
    await register(issuer, client, resource)
    flow = Flow()
    code = (await sign_in(issuer, flow, client_id="reader", scope="openid reports:read"))["code"]
    for _ in range(2):
        refused = await redeem(issuer, flow, code, client_id="reader")
        assert refusal(refused) == (503, "temporarily_unavailable")
        assert "ES256" not in refused.text
    refused = await issuer.login(client_id="reader", scope="openid reports:read")
    assert refusal(refused) == (503, "temporarily_unavailable")
    await issuer.keys.add("ES256")
    await until_version(issuer, (await issuer.keys.rotate(force=True, algorithms=["ES256"])).version)
    tokens = granted(await redeem(issuer, flow, code, client_id="reader"))
    assert (alg_of(tokens["id_token"]), alg_of(tokens["access_token"])) == (client, resource)


async def test_k04_a_service_is_given_no_token_that_it_would_refuse(issuer: Issuer) -> None:
    """The same for grants without a session."""
    await issuer.resources.create("alone", "https://alone.example", ["alone:read"], signing_alg="EdDSA")
    _, secret = await issuer.clients.create(NewClient("robot", ["client_credentials"], ["alone:read"]))
    await issuer.settled()
    refused = await issuer.token("client_credentials", ("robot", str(secret)), scope="alone:read")
    assert refusal(refused) == (503, "temporarily_unavailable")


async def test_f15_a_rotation_of_four_algorithms_refuses_no_token_and_signs_with_all_new_keys(four: Issuer) -> None:
    """K02: after it, refreshed tokens name the keys of now; those of before are still verified."""
    await register(four, "ES256", "PS256")
    before, tokens = await four.keys.list(), await tokens_of(four)
    rotated = await four.keys.rotate(force=True)
    assert rotated.version == before.version + 1
    assert {name: record.kid for name, record in rotated.currents.items()} == {
        name: record.kid for name, record in before.nexts.items()
    }
    await until_version(four, rotated.version)
    keys = await published(four)
    assert len(keys) == 12
    later = granted(await four.refresh(tokens["refresh_token"], client_id="reader"))
    kids = {name: jwt.get_unverified_header(later[name])["kid"] for name in ("id_token", "access_token")}
    assert kids == {"id_token": before.nexts["ES256"].kid, "access_token": before.nexts["PS256"].kid}
    trusted = JoserfcKeySet.import_key_set({"keys": list(keys.values())})  # type: ignore[typeddict-item]
    for token in (tokens["id_token"], tokens["access_token"], later["id_token"], later["access_token"]):
        joserfc_jwt.decode(token, trusted, algorithms=["ES256", "PS256"])


async def test_k06_a_stolen_key_of_one_algorithm_costs_the_others_nothing(four: Issuer) -> None:
    before = await four.keys.list()
    stolen = before.currents["EdDSA"].kid
    done = await KeyCompromise(four.keys, four.stores.ledger, "test").withdraw(stolen)
    assert done.reached_servers
    assert done.keyring.currents["EdDSA"].kid == before.nexts["EdDSA"].kid
    for alg in ("RS256", "PS256", "ES256"):
        assert done.keyring.currents[alg] == before.currents[alg]
    await until_version(four, done.keyring.version)
    assert stolen not in await published(four)


async def test_k06_a_stolen_host_costs_every_key_of_every_algorithm(four: Issuer) -> None:
    before = await four.keys.list()
    done = await KeyCompromise(four.keys, four.stores.ledger, "test").withdraw_everything()
    assert set(done.kids) == {record.kid for record in before.signing}
    assert tuple(done.keyring.currents) == tuple(done.keyring.nexts) == ALGORITHMS
    assert len(done.keyring.published) == 8
    await until_version(four, done.keyring.version)
    assert not set(done.kids) & set(await published(four))


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("alg", OTHERS)
async def test_a58_a_logout_token_is_signed_like_the_id_tokens_of_its_client(four: Issuer, alg: str) -> None:
    async with relying_party() as shop:
        await backchannel.register(four, "shop", shop, id_token_signing_alg=alg)
        await backchannel.log_out(four, await backchannel.tokens_of(four, "shop"))
        (token,) = await shop.hears()
        jwks = (await four.http.get("/.well-known/jwks.json")).json()
        assert claims_of(token, jwks, ISSUER, "shop", alg)["sid"]
        await backchannel.settled(four)
