"""Pairwise subjects (OpenID Connect Core section 8): A63. And UserInfo that is signed (section 5.3.2)."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, ClassVar

import jwt
import pytest
from browser import Flow, agreed, answer_of, hidden_fields, submit, to_login
from httpx2 import Response
from issuer_in_process import ISSUER, RESOURCE, Issuer, granted, refusal

import identity.wiring.parts
from identity.oauth.registration.new_client import NewClient
from identity.outbound.client import Outbound
from identity.outbound.errors import NotReached
from identity.settings import ConfigurationError
from identity.verifier import InvalidToken
from identity.verifier.compact import read_key_reference, split, to_bytes
from identity.verifier.profile import ALGORITHM, ALGORITHMS

KEY = secrets.token_hex(32)
SCOPES = ("openid", "profile", "email", "orders:read")
A, A2, B = "https://a.example/cb", "https://a.example/other", "https://b.example/cb"


@pytest.fixture
async def issuer(start_issuer: Any) -> AsyncIterator[Issuer]:
    async with start_issuer(pairwise_key=KEY, registration="token") as issuer:
        yield issuer


async def client_at(issuer: Issuer, client_id: str, uri: str, **more: Any) -> None:
    fields: dict[str, Any] = {
        "authentication_method": "none",
        "redirect_uris": [uri],
        "post_logout_redirect_uris": [uri],
        "subject_type": "pairwise",
        **more,
    }
    await issuer.clients.create(NewClient(client_id, ("authorization_code", "refresh_token"), SCOPES, **fields))
    await issuer.settled()


async def tokens_of(
    issuer: Issuer, client_id: str, uri: str, username: str = "alice", **changes: Any
) -> dict[str, Any]:
    """What a client gets when somebody signs in to it; whoever is signed in stays so."""
    flow = Flow()
    sent = {"client_id": client_id, "redirect_uri": uri, **changes}
    answer = await issuer.http.get("/authorize", params=flow.parameters(**sent))
    if answer.headers["location"].startswith("/login"):
        page = await issuer.http.get(answer.headers["location"])
        answer = await submit(issuer, page, username, {"alice": "wonderland", "bob": "builder"}[username])
    code = answer_of(await agreed(issuer, answer), uri)["code"]
    fields = {"code": code, "code_verifier": flow.verifier, "redirect_uri": uri, "client_id": client_id}
    return granted(await issuer.token("authorization_code", **fields))


def said(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def userinfo(issuer: Issuer, token: str) -> Response:
    answer = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return answer


async def test_a63_a_person_has_one_name_in_each_sector_and_nobody_else_has_it(issuer: Issuer) -> None:
    """Stable over logins, refreshes and clients of one host; another one at another host, and for another person."""
    for client_id, uri in (("a", A), ("a2", A2), ("b", B)):
        await client_at(issuer, client_id, uri)
    first = await tokens_of(issuer, "a", A)
    subject = said(first["id_token"])["sub"]
    again = said((await tokens_of(issuer, "a", A))["id_token"])["sub"]
    sibling = said((await tokens_of(issuer, "a2", A2))["id_token"])["sub"]
    elsewhere = said((await tokens_of(issuer, "b", B))["id_token"])["sub"]
    refreshed = granted(await issuer.refresh(first["refresh_token"], client_id="a"))
    assert subject == again == sibling == said(refreshed["id_token"])["sub"]
    issuer.http.cookies.clear()
    bob = said((await tokens_of(issuer, "a", A, "bob"))["id_token"])["sub"]
    public = said(first["access_token"])["sub"]
    assert len({subject, elsewhere, bob, public}) == 4
    assert len(subject) == 43


async def test_a63_the_name_rests_on_the_key_and_on_nothing_else(issuer: Issuer, start_issuer: Any) -> None:
    """Every server that has the key gives the same name, whatever it signs with; without the key nobody finds it."""
    await client_at(issuer, "a", A)
    subject = said((await tokens_of(issuer, "a", A))["id_token"])["sub"]
    async with start_issuer(pairwise_key=KEY) as replica:
        replica.http.cookies.update(dict(issuer.http.cookies))
        assert said((await tokens_of(replica, "a", A))["id_token"])["sub"] == subject
    async with start_issuer(pairwise_key=secrets.token_hex(32)) as other:
        other.http.cookies.update(dict(issuer.http.cookies))
        assert said((await tokens_of(other, "a", A))["id_token"])["sub"] != subject


async def test_a63_userinfo_says_the_same_name_and_never_the_public_one(issuer: Issuer) -> None:
    await client_at(issuer, "a", A)
    tokens = await tokens_of(issuer, "a", A)
    answer = await userinfo(issuer, tokens["access_token"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["sub"] == said(tokens["id_token"])["sub"]
    public = said(tokens["access_token"])["sub"]
    assert public not in answer.text
    assert public not in json.dumps(said(tokens["id_token"]))


async def test_a63_services_know_a_person_by_one_name_across_clients(issuer: Issuer) -> None:
    """Decision 0027: the access token is theirs, and so is what it says."""
    await client_at(issuer, "a", A)
    await client_at(issuer, "b", B)
    names = {said((await tokens_of(issuer, *client))["access_token"])["sub"] for client in (("a", A), ("b", B))}
    assert len(names) == 1
    token = (await tokens_of(issuer, "a", A))["access_token"]
    seen = await issuer.http.post("/introspect", data={"token": token}, auth=RESOURCE)
    assert seen.json()["sub"] in names


async def test_a63_apps_on_every_machine_are_sectors_by_themselves(issuer: Issuer) -> None:
    """127.0.0.1 and com.example.app are no hosts that two apps would share."""
    loopback = "http://127.0.0.1/cb"
    await client_at(issuer, "a", loopback)
    await client_at(issuer, "b", loopback)
    names = {said((await tokens_of(issuer, each, loopback))["id_token"])["sub"] for each in "ab"}
    assert len(names) == 2


async def test_p05_a_hint_with_a_pairwise_name_names_the_person(issuer: Issuer) -> None:
    """A14, A63: at /authorize, of this client and of another one."""
    await client_at(issuer, "a", A)
    await client_at(issuer, "b", B)
    hint = (await tokens_of(issuer, "a", A))["id_token"]
    await tokens_of(issuer, "b", B)
    for client_id, uri in (("a", A), ("b", B)):
        flow = Flow().parameters(client_id=client_id, redirect_uri=uri, prompt="none", id_token_hint=hint)
        assert "code" in answer_of(await issuer.http.get("/authorize", params=flow), uri)
    issuer.http.cookies.clear()
    await tokens_of(issuer, "a", A, "bob")
    flow = Flow().parameters(client_id="a", redirect_uri=A, prompt="none", id_token_hint=hint)
    assert answer_of(await issuer.http.get("/authorize", params=flow), A)["error"] == "login_required"


async def test_a14_a_client_asks_for_a_person_by_the_name_that_it_knows(issuer: Issuer) -> None:
    """OpenID Connect Core section 5.5.1; the public name is none of its business (A63)."""
    await client_at(issuer, "a", A)
    tokens = await tokens_of(issuer, "a", A)
    for token, is_right in ((tokens["id_token"], True), (tokens["access_token"], False)):
        claims = json.dumps({"id_token": {"sub": {"value": said(token)["sub"]}}})
        flow = Flow().parameters(client_id="a", redirect_uri=A, prompt="none", claims=claims)
        answer = answer_of(await issuer.http.get("/authorize", params=flow), A)
        assert ("code" in answer) is is_right, answer


@pytest.mark.parametrize("names_session", [True, False])
async def test_p09_a_hint_with_a_pairwise_name_signs_the_person_out(issuer: Issuer, names_session: bool) -> None:
    """A57, A63: also one without a `sid`, of which the name alone tells whose it is."""
    await client_at(issuer, "a", A)
    hint = (await tokens_of(issuer, "a", A))["id_token"]
    public = {**said(hint), "sub": said((await tokens_of(issuer, "a", A))["access_token"])["sub"]}
    if not names_session:
        hint, wrong = (
            issuer.signer.sign("JWT", json.dumps({k: v for k, v in claims.items() if k != "sid"}).encode())
            for claims in (said(hint), public)
        )
        page = await issuer.http.get("/logout", params={"id_token_hint": wrong})
        assert 'id="logout-confirm"' in page.text
    answer = await issuer.http.get("/logout", params={"id_token_hint": hint, "post_logout_redirect_uri": A})
    assert answer_of(answer, A) == {}


async def test_p02_metadata_says_what_subjects_there_are(issuer: Issuer, start_issuer: Any) -> None:
    """A54."""
    document = (await issuer.http.get("/.well-known/openid-configuration")).json()
    assert document["subject_types_supported"] == ["public", "pairwise"]
    assert document["userinfo_signing_alg_values_supported"] == [ALGORITHM]
    async with start_issuer() as without:
        document = (await without.http.get("/.well-known/openid-configuration")).json()
        assert document["subject_types_supported"] == ["public"]


async def test_a63_a_server_without_the_key_does_not_start_where_it_is_needed(
    issuer: Issuer, start_issuer: Any
) -> None:
    """And one that runs already falls back on no other name."""
    async with start_issuer() as keyless:
        await client_at(issuer, "a", A)
        tokens = await tokens_of(issuer, "a", A)
        await keyless.settled()
        answer = await submit(keyless, await to_login(keyless, Flow(), client_id="a", redirect_uri=A))
        assert answer.status_code == 503
        assert "People cannot be named to this client now." in answer.text
        refreshed = await keyless.refresh(tokens["refresh_token"], client_id="a")
        assert refusal(refreshed) == (503, "temporarily_unavailable")
    with pytest.raises(ConfigurationError, match="IDENTITY_PAIRWISE_KEY is not set"):
        async with start_issuer():
            pass
    for wrong in ("short", "0" * 64):
        with pytest.raises(ConfigurationError, match="IDENTITY_PAIRWISE_KEY: must be 32 random bytes"):
            async with start_issuer(pairwise_key=wrong):
                pass


async def register(issuer: Issuer, **members: Any) -> Response:
    token = await issuer.invitations.invite(secrets.token_hex(4), 1, timedelta(days=1))
    said = {"subject_type": "pairwise", "token_endpoint_auth_method": "none", **members}
    return await issuer.http.post("/register", json=said, headers={"Authorization": f"Bearer {token}"})


class Elsewhere(Outbound):
    """What strangers answer."""

    documents: ClassVar[dict[str, object]] = {}
    asked: ClassVar[list[str]] = []

    async def get_json(self, url: str, most_bytes: int, seconds: float) -> object:
        self.asked.append(url)
        if url not in self.documents:
            raise NotReached("nobody")
        return self.documents[url]


async def test_a63_a_client_joins_a_sector_only_if_that_lists_its_addresses(
    start_issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenID Connect Core section 8.1: the sector is then the host of that document."""
    monkeypatch.setattr(identity.wiring.parts, "Outbound", Elsewhere)
    monkeypatch.setattr(Elsewhere, "asked", [])
    sector = "https://sector.example/uris.json"
    lists: dict[str, object] = {"good": [A, B], "one": [A], "object": {"a": A}, "numbers": [1, 2], "text": A + B}
    monkeypatch.setattr(Elsewhere, "documents", {f"{sector}?{name}": value for name, value in lists.items()})
    async with start_issuer(pairwise_key=KEY, registration="token") as issuer:
        assert refusal(await register(issuer, redirect_uris=[A, B])) == (400, "invalid_client_metadata")
        for name in ("one", "object", "numbers", "text", "nothing"):
            answer = await register(issuer, redirect_uris=[A, B], sector_identifier_uri=f"{sector}?{name}")
            assert refusal(answer) == (400, "invalid_client_metadata"), name
        assert len(Elsewhere.asked) == 5
        wrong = await register(issuer, redirect_uris=["http://a.example"], sector_identifier_uri=f"{sector}?good")
        assert refusal(wrong) == (400, "invalid_redirect_uri")
        assert len(Elsewhere.asked) == 5, "nothing is fetched for a document that is wrong anyway"
        unknown = await issuer.http.post("/register", json={"sector_identifier_uri": sector}, headers={})
        assert unknown.status_code == 401
        assert len(Elsewhere.asked) == 5, "and nothing for somebody who was not invited"
        body = (await register(issuer, redirect_uris=[A, B], sector_identifier_uri=f"{sector}?good")).json()
        assert body["sector_identifier_uri"] == f"{sector}?good"
        await client_at(issuer, "theirs", B, sector="sector.example")
        mine = said((await tokens_of(issuer, body["client_id"], A, scope="openid"))["id_token"])["sub"]
        theirs = said((await tokens_of(issuer, "theirs", B))["id_token"])["sub"]
        assert mine == theirs


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[fd00::1]"])
async def test_a15_no_sector_is_looked_for_inside(issuer: Issuer, host: str) -> None:
    """The address is refused before anything is sent."""
    answer = await register(issuer, redirect_uris=[A], sector_identifier_uri=f"https://{host}/uris.json")
    assert refusal(answer) == (400, "invalid_client_metadata")


async def test_p06_userinfo_is_signed_for_a_client_that_wants_it_so(issuer: Issuer) -> None:
    """OpenID Connect Core section 5.3.2: application/jwt, by this issuer, for this client, verified by a stranger's library."""
    await client_at(issuer, "a", A, userinfo_signed_response_alg="RS256")
    tokens = await tokens_of(issuer, "a", A)
    answer = await userinfo(issuer, tokens["access_token"])
    assert answer.headers["content-type"] == "application/jwt"
    assert answer.headers["cache-control"] == "no-store"
    claims = await issuer.claims(answer.text, "a")
    assert claims["iss"] == ISSUER
    assert claims["sub"] == said(tokens["id_token"])["sub"]
    assert claims["preferred_username"] == "alice"
    plain = await issuer.http.post("/userinfo", data={"access_token": tokens["access_token"]})
    assert plain.headers["content-type"] == "application/jwt"


async def test_p06_userinfo_is_never_signed_with_another_algorithm(issuer: Issuer) -> None:
    """K04: where no key of that algorithm signs, there is no answer; and nobody registers for one."""
    await client_at(issuer, "a", A, userinfo_signed_response_alg="ES256")
    token = (await tokens_of(issuer, "a", A))["access_token"]
    answer = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert refusal(answer) == (503, "temporarily_unavailable")
    asked = await register(issuer, redirect_uris=[A], userinfo_signed_response_alg="ES256")
    assert refusal(asked) == (400, "invalid_client_metadata")


async def test_a62_signed_userinfo_is_no_token_of_any_other_kind(issuer: Issuer) -> None:
    """Neither for a service, nor for this server, nor as a hint."""
    await client_at(issuer, "a", A, userinfo_signed_response_alg="RS256", subject_type="public")
    tokens = await tokens_of(issuer, "a", A)
    signed = (await userinfo(issuer, tokens["access_token"])).text
    again = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {signed}"})
    assert refusal(again) == (401, "invalid_token")
    seen = await issuer.http.post("/introspect", data={"token": signed}, auth=RESOURCE)
    assert seen.json() == {"active": False}
    flow = Flow().parameters(client_id="a", redirect_uri=A, prompt="none", id_token_hint=signed)
    assert answer_of(await issuer.http.get("/authorize", params=flow), A)["error"] == "login_required"
    page = await issuer.http.get("/logout", params={"id_token_hint": signed, "post_logout_redirect_uri": A})
    assert 'id="logout-confirm"' in page.text
    assert hidden_fields(page)
    assert not {"exp", "auth_time", "jti", "client_id", "rev"} & set(said(signed))
    with pytest.raises(InvalidToken):
        read_key_reference(split(to_bytes(signed))[0], ALGORITHMS)


async def test_who_wants_another_algorithm_is_told_so(issuer: Issuer) -> None:
    assert refusal(await register(issuer, redirect_uris=[A], userinfo_signed_response_alg="none")) == (
        400,
        "invalid_client_metadata",
    )
