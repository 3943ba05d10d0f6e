"""Clients that register themselves (RFC 7591; OpenID Connect Dynamic Client Registration)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browser import Flow, agreed, answer_of, consent_page, submit, to_login
from httpx2 import Response
from issuer_in_process import Issuer, granted, refusal
from sqlmodel import col, select, update

from identity.administration.errors import AdministrationError
from identity.models import AuditEvent, Client, InitialAccessToken
from identity.oauth.registration.policy import RegistrationPolicy

CALLBACK = "https://app.example/signed-in"
WEEK = timedelta(days=7)
NO_TOKEN = (401, "invalid_token")
BAD = (400, "invalid_client_metadata")


@pytest.fixture
async def issuer(start_issuer: Any) -> AsyncIterator[Issuer]:
    """A server where clients that were invited may register."""
    async with start_issuer(registration="token") as issuer:
        yield issuer


async def invite(issuer: Issuer, uses: int = 100, **policy: set[str]) -> str:
    wanted = RegistrationPolicy(**{name: frozenset(values) for name, values in policy.items()})
    name = f"partners {datetime.now(UTC).isoformat()}"
    return await issuer.invitations.invite(name, uses, WEEK, wanted)


async def register(issuer: Issuer, token: str | None, document: Any = None, **members: Any) -> Response:
    said = {"redirect_uris": [CALLBACK], **members} if document is None else document
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return await issuer.http.post("/register", content=body, headers=headers)


def registered(response: Response) -> dict[str, Any]:
    assert response.status_code == 201, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body: dict[str, Any] = response.json()
    return body


async def row_of(issuer: Issuer, client_id: str) -> Client:
    async with issuer.stores.database.read() as session:
        return (await session.scalars(select(Client).where(Client.client_id == client_id))).one()


async def uses_left(issuer: Issuer) -> list[int]:
    return [row.uses_left for row in await issuer.invitations.list()]


async def test_the_answer_says_all_that_was_registered(issuer: Issuer) -> None:
    """RFC 7591 section 3.2.1: with every default that was applied, and the secret, which is shown only now (A32)."""
    body = registered(await register(issuer, await invite(issuer), client_name="Shop", logo_uri="https://x.example/l"))
    client_id, secret = body.pop("client_id"), body.pop("client_secret")
    assert re.fullmatch(r"[0-9a-f]{32}", client_id)
    assert len(secret) == 43
    assert abs(body.pop("client_id_issued_at") - datetime.now(UTC).timestamp()) < 60
    assert body == {
        "client_secret_expires_at": 0,
        "client_name": "Shop",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": [CALLBACK],
        "scope": "email offline_access openid profile",
        "token_endpoint_auth_method": "client_secret_basic",
        "subject_type": "public",
        "id_token_signed_response_alg": "RS256",
        "require_pushed_authorization_requests": False,
        "require_signed_request_object": False,
        "dpop_bound_access_tokens": False,
        "tls_client_certificate_bound_access_tokens": False,
    }
    row = await row_of(issuer, client_id)
    assert (row.is_dynamic, row.is_trusted, row.requires_pkce, row.rotates_refresh_tokens) == (True, False, True, True)
    assert secret not in row.model_dump_json()


async def test_a_public_client_has_no_secret(issuer: Issuer) -> None:
    """RFC 7591 section 3.2.1: client_secret_expires_at stands only beside a secret."""
    body = registered(await register(issuer, await invite(issuer), token_endpoint_auth_method="none"))
    assert not {"client_secret", "client_secret_expires_at"} & set(body)


async def test_somebody_signs_in_to_a_client_that_registered_itself(issuer: Issuer) -> None:
    """People are always asked, once: nobody has vouched for it."""
    body = registered(await register(issuer, await invite(issuer), client_name="Shop"))
    client = {"client_id": body["client_id"], "redirect_uri": CALLBACK, "scope": "openid email"}
    flow = Flow()
    sent = await submit(issuer, await to_login(issuer, flow, **client))
    page = await consent_page(issuer, sent)
    assert "Shop" in page.text
    assert "It registered itself" in page.text
    assert "https://app.example" in page.text
    code = answer_of(await agreed(issuer, sent), CALLBACK)["code"]
    auth = (body["client_id"], body["client_secret"])
    tokens = granted(
        await issuer.token("authorization_code", auth, code=code, code_verifier=flow.verifier, redirect_uri=CALLBACK)
    )
    assert set(tokens["scope"].split()) == {"openid", "email"}
    silent = await issuer.http.get("/authorize", params=Flow().parameters(**client, prompt="none"))
    assert "code" in answer_of(silent, CALLBACK)


async def test_without_an_invitation_nobody_registers(issuer: Issuer) -> None:
    """RFC 7591 section 3: 401 with a challenge (RFC 6750 section 3)."""
    for token in (None, "invented"):
        answer = await register(issuer, token)
        assert refusal(answer) == NO_TOKEN
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    basic = await issuer.http.post("/register", json={"redirect_uris": [CALLBACK]}, auth=("demo", "x"))
    assert refusal(basic) == NO_TOKEN


async def test_an_invitation_is_kept_as_a_digest_and_can_be_withdrawn(issuer: Issuer) -> None:
    """256 random bits, hashed (A32); clients that came by it stay."""
    token = await issuer.invitations.invite("partners", 5, WEEK)
    assert len(token) == 43
    (row,) = await issuer.invitations.list()
    assert token not in row.model_dump_json()
    body = registered(await register(issuer, token))
    await issuer.invitations.withdraw("partners")
    assert refusal(await register(issuer, token)) == NO_TOKEN
    assert (await row_of(issuer, body["client_id"])).is_enabled


async def test_f13_of_twenty_at_once_as_many_register_as_were_invited(issuer: Issuer) -> None:
    """The use and the client are one transaction, and the use is one statement."""
    token = await invite(issuer, uses=3)
    answers = await asyncio.gather(*(register(issuer, token) for _ in range(20)))
    made = [registered(each)["client_id"] for each in answers if each.status_code == 201]
    assert len(set(made)) == 3
    assert {refusal(each) for each in answers if each.status_code != 201} == {NO_TOKEN}
    assert await uses_left(issuer) == [0]


async def test_an_expired_invitation_is_none(issuer: Issuer) -> None:
    token = await invite(issuer)
    async with issuer.stores.database.transaction() as session:
        over = datetime.now(UTC) - timedelta(seconds=1)
        await session.execute(update(InitialAccessToken).values(expires_at=over))
    assert refusal(await register(issuer, token)) == NO_TOKEN


async def test_a_refused_document_uses_nothing_up(issuer: Issuer) -> None:
    """A client that made a mistake can correct it, and use the same invitation."""
    token = await invite(issuer, uses=1)
    assert refusal(await register(issuer, token, redirect_uris=["http://shop.example/cb"]))[1] == "invalid_redirect_uri"
    assert await uses_left(issuer) == [1]
    registered(await register(issuer, token))


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["http://shop.example/cb"],
        ["https://shop.example/cb#x"],
        ["https://a@b@evil/"],
        ["javascript:alert(1)"],
        ["https://shop.example/..;/x"],
        [CALLBACK, "http://localhost.evil/"],
        ["https://shop.example/\u0430"],
    ],
)
async def test_a03_an_address_that_codes_must_not_go_to_is_an_invalid_redirect_uri(
    issuer: Issuer, uris: list[str]
) -> None:
    """RFC 7591 section 3.2.2."""
    answer = await register(issuer, await invite(issuer), redirect_uris=uris)
    assert refusal(answer) == (400, "invalid_redirect_uri")


@pytest.mark.parametrize(
    "members",
    [
        {"client_name": 7},
        {"redirect_uris": CALLBACK},
        {"grant_types": ["authorization_code", "password"]},
        {"grant_types": ["implicit"], "response_types": []},
        {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []},
        {"response_types": ["code", "token"]},
        {"grant_types": ["refresh_token"], "redirect_uris": [], "response_types": ["code"]},
        {"scope": "orders:read"},
        {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=x"},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}},
        {"jwks": {"keys": [{"kty": "RSA", "n": 1, "e": "AQAB"}]}},
        {"jwks_uri": "http://shop.example/keys"},
        {"jwks_uri": "https://["},
        {"backchannel_logout_uri": "https://shop.example:99999/out"},
        {"post_logout_redirect_uris": ["//evil"]},
        {"id_token_signed_response_alg": "none"},
        {"userinfo_signed_response_alg": "HS256"},
        {"subject_type": "pairwise"},
        {"subject_type": "other"},
        {"sector_identifier_uri": "https://10.0.0.1/sector"},
        {"sector_identifier_uri": "http://127.0.0.1/sector"},
        {"sector_identifier_uri": ["https://shop.example/sector"]},
        {"client_name": "a\u0000b"},
        {"client_name": "\ud800"},
    ],
    ids=str,
)
async def test_a36_what_may_not_be_is_invalid_client_metadata(issuer: Issuer, members: dict[str, Any]) -> None:
    """RFC 7591 section 3.2.2; the description is of the characters that RFC 6749 section 5.2 admits."""
    answer = await register(issuer, await invite(issuer), **members)
    assert refusal(answer) == BAD
    assert re.fullmatch(r"[ !#-\[\]-~]+", answer.json()["error_description"])


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"a":1,"a":2}', b'{"a":NaN}', b"{" * 9000, b"\xff\xfe{}"])
async def test_a_document_with_ambiguities_is_invalid_client_metadata(issuer: Issuer, body: bytes) -> None:
    assert refusal(await register(issuer, await invite(issuer), body)) == BAD


async def test_a_body_that_is_no_short_json_is_refused(issuer: Issuer) -> None:
    """What is kept of a client is remembered by every server (F21)."""
    token = await invite(issuer)
    assert refusal(await register(issuer, token, client_uri="x" * 16384)) == (413, "invalid_request")
    headers = {"Authorization": f"Bearer {token}"}
    assert refusal(await issuer.http.post("/register", data={"a": "b"}, headers=headers)) == (415, "invalid_request")
    assert refusal(await issuer.http.get("/register")) == (405, "invalid_request")


async def test_a_software_statement_is_refused(issuer: Issuer) -> None:
    """RFC 7591 section 3.2.2: nobody's word counts here, and without it this would be another client."""
    answer = await register(issuer, await invite(issuer), software_statement="eyJhbGciOiJub25lIn0.e30.")
    assert refusal(answer) == (400, "unapproved_software_statement")


async def test_what_only_an_operator_may_say_is_ignored(issuer: Issuer) -> None:
    """A63: a client that named its own sector would know people by the names that others have for them."""
    own = {
        "is_trusted": True,
        "requires_pkce": False,
        "rotates_refresh_tokens": False,
        "accepts_token_endpoint_audience": True,
        "sector": "shop.example",
        "origins": ["https://evil.example"],
        "profile": "x",
        "client_id": "demo",
        "client_secret": "mine",
    }
    body = registered(await register(issuer, await invite(issuer), software_id="s", **own))
    row = await row_of(issuer, body["client_id"])
    assert (row.is_trusted, row.requires_pkce, row.rotates_refresh_tokens) == (False, True, True)
    assert (row.accepts_token_endpoint_audience, row.sector, row.origins) == (False, "app.example", [])
    assert body["client_id"] != "demo"
    assert body["client_secret"] != "mine"
    assert not {"software_id", "sector", "origins", "is_trusted"} & set(body)


async def test_a41_a_client_gets_the_scopes_of_its_invitation_and_no_other(issuer: Issuer) -> None:
    """And the answer says which."""
    token = await invite(issuer, scopes={"openid", "orders:read"})
    assert registered(await register(issuer, token))["scope"] == "openid orders:read"
    cut = registered(await register(issuer, token, scope="openid orders:write orders:read roles nonsense"))
    assert cut["scope"] == "openid orders:read"
    assert (await row_of(issuer, cut["client_id"])).scopes == ["openid", "orders:read"]


async def test_a36_an_invitation_may_open_more_grants_and_methods_but_never_the_password_grant(issuer: Issuer) -> None:
    """A43."""
    token = await invite(
        issuer,
        scopes={"orders:read"},
        grant_types={"client_credentials"},
        authentication_methods={"client_secret_post"},
    )
    machine = {
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "token_endpoint_auth_method": "client_secret_post",
    }
    body = registered(await register(issuer, token, **machine))
    assert body["response_types"] == []
    answer = await issuer.token(
        "client_credentials", client_id=body["client_id"], client_secret=body["client_secret"], scope="orders:read"
    )
    granted(answer)
    assert refusal(await register(issuer, token)) == BAD
    wanted = RegistrationPolicy(grant_types=frozenset({"password"}))
    async with issuer.stores.database.transaction() as session:
        await session.execute(update(InitialAccessToken).values(policy=wanted.written()))
    body = {"grant_types": ["password"], "redirect_uris": [], "response_types": []}
    assert refusal(await register(issuer, token, **body)) == BAD


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"grant_types": {"password"}}, "cannot have the grant type"),
        ({"authentication_methods": {"client_secret_jwt"}}, "no client authentication"),
        ({"scopes": {"nobody:owns"}}, "No resource owns the scope"),
        ({"uses": 0}, "is for 1 to"),
        ({"lifetime": timedelta()}, "at most 366 days"),
        ({"lifetime": timedelta(days=367)}, "at most 366 days"),
        ({"name": "a\nb"}, "printable"),
    ],
    ids=str,
)
async def test_a36_an_invitation_that_makes_no_sense_is_refused(
    issuer: Issuer, changes: dict[str, Any], sentence: str
) -> None:
    wanted = RegistrationPolicy(**{name: frozenset(each) for name, each in changes.items() if isinstance(each, set)})
    name, uses, lifetime = changes.get("name", "x"), changes.get("uses", 1), changes.get("lifetime", WEEK)
    with pytest.raises(AdministrationError, match=sentence):
        await issuer.invitations.invite(name, uses, lifetime, wanted)
    assert await issuer.invitations.list() == []


async def test_the_addresses_of_a_client_are_at_the_hosts_of_its_invitation(issuer: Issuer) -> None:
    token = await invite(issuer, hosts={"app.example"})
    registered(await register(issuer, token, post_logout_redirect_uris=["https://app.example/bye"]))
    for uri in (
        "https://app.example.evil/cb",
        "https://evil/app.example",
        "com.example.app:/cb",
        "http://127.0.0.1/cb",
    ):
        answer = await register(issuer, token, redirect_uris=[CALLBACK, uri])
        assert refusal(answer) == (400, "invalid_redirect_uri")
    for name in ("jwks_uri", "backchannel_logout_uri"):
        assert refusal(await register(issuer, token, **{name: "https://elsewhere.example/x"})) == BAD


async def test_registering_is_in_the_audit_trail(issuer: Issuer) -> None:
    """With the invitation and the address, and without the token (A64)."""
    token = await issuer.invitations.invite("partners", 5, WEEK)
    body = registered(await register(issuer, token))
    async with issuer.stores.database.read() as session:
        query = select(AuditEvent).where(col(AuditEvent.event) == "client.registered")
        (event,) = (await session.scalars(query)).all()
    assert (event.client_id, event.detail, event.address) == (body["client_id"], "partners", "127.0.0.1")


async def test_strangers_do_not_fill_the_feed(issuer: Issuer) -> None:
    """F21: nobody remembers a client that was not there, so no server and no service is told."""
    before = len(await issuer.rules())
    registered(await register(issuer, await invite(issuer)))
    assert len(await issuer.rules()) == before


async def test_p02_metadata_names_the_endpoint_only_where_there_is_one(start_issuer: Any) -> None:
    """A54: closed, there is no such endpoint at all."""
    for mode in ("token", "open", "closed"):
        async with start_issuer(registration=mode) as issuer:
            document = (await issuer.http.get("/.well-known/openid-configuration")).json()
            answer = await register(issuer, None, b"[]")
        assert document.get("registration_endpoint") == (None if mode == "closed" else "http://127.0.0.1:8000/register")
        assert answer.status_code == {"token": 401, "open": 400, "closed": 404}[mode]


async def test_u04_where_everybody_may_register_nobody_does_so_without_end(start_issuer: Any) -> None:
    """By address; whoever was invited is not counted."""
    async with start_issuer(registration="open") as issuer:
        answers = await asyncio.gather(*(register(issuer, None) for _ in range(25)))
        assert sorted(each.status_code for each in answers) == [201] * 20 + [429] * 5
        assert {refusal(each) for each in answers if each.status_code == 429} == {(429, "temporarily_unavailable")}
        registered(await register(issuer, await invite(issuer)))
        assert refusal(await register(issuer, "invented")) == NO_TOKEN


async def test_a59_web_pages_of_registered_origins_may_register(issuer: Issuer) -> None:
    """As at the token endpoint."""
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await issuer.http.request("OPTIONS", "/register", headers=asked)
    assert "access-control-allow-origin" not in answer.headers
    await issuer.clients.allow_origin("demo", "https://app.example")
    await issuer.settled()
    answer = await issuer.http.request("OPTIONS", "/register", headers={**asked, "Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
