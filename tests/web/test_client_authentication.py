"""Clients at the token and revocation endpoints: one method, and one answer for everyone who is not who they say."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote_plus

import pytest
from issuer_in_process import ISSUER, NOTES, ORDERS, SERVICE, Issuer, granted, refusal

from identity.oauth.registration.new_client import NewClient

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
POST = {"client_id": SERVICE[0], "client_secret": SERVICE[1]}


async def confidential(issuer: Issuer, *grants: str, **changes: object) -> tuple[str, str]:
    grants = grants or ("password", "refresh_token")
    new = NewClient("web", grants, ["orders:read", "orders:write"], default_resource="orders", **changes)  # type: ignore[arg-type]
    _, secret = await issuer.clients.create(new)
    assert secret is not None
    await issuer.settled()
    return "web", secret


async def test_basic_and_post_both_authenticate(issuer: Issuer) -> None:
    """A30, A31."""
    granted(await issuer.token("client_credentials", SERVICE))
    granted(await issuer.token("client_credentials", **POST))


async def test_the_basic_scheme_has_no_case_and_its_parts_are_form_urlencoded(issuer: Issuer) -> None:
    """A31, RFC 6749 section 2.3.1."""
    encoded = "".join(f"%{ord(letter):02X}" for letter in SERVICE[0]) + ":" + quote_plus(SERVICE[1])
    header = {"Authorization": "bAsIc " + base64.b64encode(encoded.encode()).decode()}
    granted(await issuer.http.post("/token", data={"grant_type": "client_credentials"}, headers=header))


@pytest.mark.parametrize(
    "fields",
    [POST, {"client_secret": NOTES.client_secret}, {"client_secret": "other"}, {"client_id": "demo"}],
    ids=["both", "secret", "other-secret", "other-id"],
)
async def test_two_methods_or_two_names_at_once_are_refused(issuer: Issuer, fields: dict[str, str]) -> None:
    """A30, RFC 6749 section 2.3."""
    assert refusal(await issuer.token("client_credentials", SERVICE, **fields)) == (400, "invalid_request")


async def test_the_header_s_client_may_be_named_again_in_the_form(issuer: Issuer) -> None:
    """A30: naming oneself is not a second method."""
    granted(await issuer.token("client_credentials", SERVICE, client_id=SERVICE[0]))


async def test_unknown_wrong_and_disabled_clients_get_one_answer(issuer: Issuer) -> None:
    """A35, CVE-2025-64521: to the byte, at both endpoints."""
    disabled = await confidential(issuer, "client_credentials")
    await issuer.clients.disable("web")
    await issuer.settled()
    strangers = [("nobody", "x"), (SERVICE[0], "wrong"), disabled, ("web", "wrong"), ("demo", "x"), (SERVICE[0], "")]
    answers = [await issuer.token("client_credentials", who) for who in strangers]
    answers += [
        await issuer.token("client_credentials", client_id=name, client_secret=secret) for name, secret in strangers
    ]
    answers += [await issuer.revoke("x", who) for who in strangers]
    assert {refusal(answer) for answer in answers} == {(401, "invalid_client")}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(answer.headers.multi_items()) for answer in answers}) == 1


async def test_a_public_client_with_a_secret_is_refused(issuer: Issuer) -> None:
    """A30: it has none, so whoever sends one is mistaken about who they are."""
    assert refusal(await issuer.login(client_id="demo", client_secret="x")) == (401, "invalid_client")
    granted(await issuer.login(client_id="demo", client_secret=""))


async def test_a_confidential_client_cannot_leave_its_secret_out(issuer: Issuer) -> None:
    """CVE-2026-53512: at a refresh least of all, and the token is not used up by the attempt."""
    web = await confidential(issuer)
    assert refusal(await issuer.login(client_id="web")) == (401, "invalid_client")
    first = granted(await issuer.token("password", web, username="alice", password="wonderland"))["refresh_token"]
    assert refusal(await issuer.refresh(first, client_id="web")) == (401, "invalid_client")
    assert refusal(await issuer.refresh(first, client_id="web", client_secret="wrong")) == (401, "invalid_client")
    assert refusal(await issuer.revoke(first, client_id="web")) == (401, "invalid_client")
    second = granted(await issuer.token("refresh_token", web, refresh_token=first))["refresh_token"]
    assert second.split(".")[1] == "1"


async def test_two_secrets_are_good_while_a_service_changes_over(issuer: Issuer) -> None:
    """A32: the third makes the first worthless."""
    web = await confidential(issuer, "client_credentials")
    second = await issuer.clients.add_secret("web")
    await issuer.settled()
    for secret in (web[1], second):
        granted(await issuer.token("client_credentials", ("web", secret)))
    third = await issuer.clients.add_secret("web")
    await issuer.settled()
    assert refusal(await issuer.token("client_credentials", web)) == (401, "invalid_client")
    for secret in (second, third):
        granted(await issuer.token("client_credentials", ("web", secret)))


async def test_a_resource_is_not_a_client(issuer: Issuer) -> None:
    """A30: its secret opens the feed and nothing else."""
    assert refusal(await issuer.token("client_credentials", ("orders", NOTES.resource_secret))) == (
        401,
        "invalid_client",
    )


# --- client_credentials ----------------------------------------------------------------------------------------------


async def test_a_service_s_token_speaks_for_the_service_and_cannot_be_refreshed(issuer: Issuer) -> None:
    """A42, A61: its subject has a colon, which no person's has."""
    body = granted(await issuer.service_token())
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    claims = await issuer.claims(body["access_token"])
    assert set(claims) == {"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope", "rev"}
    assert (claims["iss"], claims["aud"]) == (ISSUER, ORDERS)
    assert claims["sub"] == "client:demo-service"
    assert claims["client_id"] == "demo-service"
    assert claims["scope"] == body["scope"] == "orders:read orders:write"


async def test_a_service_gets_the_scopes_it_asks_for_and_no_more_than_it_may_have(issuer: Issuer) -> None:
    """A41, CVE-2024-52287."""
    assert granted(await issuer.service_token(scope="orders:read"))["scope"] == "orders:read"
    assert granted(await issuer.service_token(scope="orders:read roles"))["scope"] == "orders:read"
    assert refusal(await issuer.service_token(scope="roles")) == (400, "invalid_scope")
    assert refusal(await issuer.service_token(resource="https://unknown.example")) == (400, "invalid_target")


async def test_a_public_client_cannot_speak_for_itself_whatever_its_row_says(issuer: Issuer) -> None:
    """A42: it has not proved who it is."""
    from sqlmodel import col, update

    from identity.models import Client

    async with issuer.stores.database.transaction() as session:
        grants = ["password", "client_credentials"]
        await session.execute(update(Client).where(col(Client.client_id) == "demo").values(grant_types=grants))
    assert refusal(await issuer.token("client_credentials", client_id="demo")) == (400, "unauthorized_client")


async def test_a_disabled_service_gets_nothing_and_what_it_had_is_revoked(issuer: Issuer) -> None:
    """A48, CVE-2025-64521."""
    granted(await issuer.service_token())
    await issuer.clients.disable("demo-service")
    rules = await issuer.rules()
    assert [rule[1] for rule in rules] == ["client_id"]
    assert refusal(await issuer.service_token()) == (401, "invalid_client")
    await issuer.clients.enable("demo-service")
    await issuer.settled()
    claims = await issuer.claims(granted(await issuer.service_token())["access_token"])
    assert claims["rev"] > rules[0][0]
