"""The password grant over HTTP: what FastAPI's form sends, what comes back, and what the token says."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import jwt
import pytest
from issuer_in_process import ISSUER, NOTES, ORDERS, SERVICE, Issuer, granted, refusal

from identity.oauth.registration.new_client import NewClient

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
BILLS = "https://bills.example/api"


async def add_bills(issuer: Issuer) -> None:
    await issuer.resources.create("bills", BILLS, ["bills:read"])
    await issuer.roles.create("accountant", ["bills:read"])
    await issuer.people.give_role("bob", "accountant")
    grants, scopes = ["password", "refresh_token"], ["orders:read", "bills:read"]
    await issuer.clients.create(NewClient("books", grants, scopes, authentication_method="none"))
    await issuer.settled()


async def test_the_password_form_of_fastapi_is_enough_for_a_token(issuer: Issuer) -> None:
    """A43, A61: no client is named; the configured default client is meant."""
    form = {"grant_type": "password", "username": "alice", "password": "wonderland", "scope": ""}
    body = granted(await issuer.http.post("/token", data=form))
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert body["expires_in"] == 600
    assert body["scope"] == "orders:read"


@pytest.mark.parametrize("blank", [{}, {"client_id": "", "client_secret": ""}])
async def test_an_empty_basic_header_names_no_client(issuer: Issuer, blank: dict[str, str]) -> None:
    """Swagger's Authorize button sends `Basic Og==` when its client fields are left blank."""
    form = {"grant_type": "password", "username": "bob", "password": "builder", **blank}
    response = await issuer.http.post("/token", data=form, headers={"Authorization": "Basic Og=="})
    assert granted(response)["scope"] == "orders:read orders:write"


async def test_an_access_token_says_what_rfc_9068_asks_and_nothing_else(issuer: Issuer) -> None:
    """A61, K02: verified by PyJWT with nothing but the served key set."""
    before = int(time.time())
    body = granted(await issuer.login("alice", scope="orders:read"))
    claims = await issuer.claims(body["access_token"])
    header = jwt.get_unverified_header(body["access_token"])
    assert header == {"alg": "RS256", "typ": "at+jwt", "kid": header["kid"]}
    expected = {
        "iss",
        "sub",
        "aud",
        "client_id",
        "iat",
        "exp",
        "jti",
        "scope",
        "rev",
        "grant_id",
        "auth_time",
        "acr",
        "amr",
    }
    assert set(claims) == expected
    assert claims["iss"] == ISSUER
    assert claims["aud"] == ORDERS
    assert claims["client_id"] == "demo"
    assert claims["scope"] == "orders:read"
    assert (claims["acr"], claims["amr"]) == ("urn:identity:acr:1fa", ["pwd"])
    assert claims["exp"] - claims["iat"] == body["expires_in"] <= 900
    assert before <= claims["auth_time"] <= claims["iat"] <= time.time()
    assert claims["sub"]
    assert ":" not in claims["sub"]
    assert claims["rev"] == (await issuer.stores.journal.head()).seq
    assert body["refresh_token"].startswith(claims["grant_id"] + ".0.")


async def test_two_tokens_of_one_person_share_the_subject_and_nothing_that_identifies_the_login(issuer: Issuer) -> None:
    """A61."""
    one, two = [await issuer.claims(granted(await issuer.login())["access_token"]) for _ in range(2)]
    assert one["sub"] == two["sub"]
    assert one["jti"] != two["jti"]
    assert one["grant_id"] != two["grant_id"]


async def test_roles_stand_in_the_token_only_with_the_scope_roles(issuer: Issuer) -> None:
    """A61, RFC 9068 section 2.2.3.1."""
    with_roles = granted(await issuer.login("bob", scope="orders:read roles"))
    assert with_roles["scope"] == "orders:read roles"
    assert (await issuer.claims(with_roles["access_token"]))["roles"] == ["editor"]
    without = granted(await issuer.login("bob", scope="orders:read"))
    assert "roles" not in await issuer.claims(without["access_token"])


async def test_scope_is_cut_by_roles_and_the_answer_says_so(issuer: Issuer) -> None:
    """A41."""
    body = granted(await issuer.login("alice", scope="orders:write orders:read"))
    assert body["scope"] == "orders:read"
    assert (await issuer.claims(body["access_token"]))["scope"] == "orders:read"


async def test_scope_is_cut_by_what_the_client_may_have(issuer: Issuer) -> None:
    """A41, CVE-2024-52287."""
    await issuer.clients.create(NewClient("reader", ["password"], ["orders:read"], authentication_method="none"))
    body = granted(await issuer.login("bob", scope="orders:read orders:write", client_id="reader"))
    assert body["scope"] == "orders:read"
    assert "refresh_token" not in body


@pytest.mark.parametrize(
    "scope", ["orders:delete", "orders:read orders:delete", "openid", "ORDERS:READ"], ids=lambda scope: scope[:20]
)
async def test_an_unknown_scope_is_refused(issuer: Issuer, scope: str) -> None:
    """A41."""
    assert refusal(await issuer.login("bob", scope=scope)) == (400, "invalid_scope")


@pytest.mark.parametrize(
    "scope",
    ["orders:read  orders:write", " orders:read", "orders:read ", 'a"b', "a\\b", "a\tb", "\u00e9", "x" * 129, "a\x7f"],
    ids=ascii,
)
async def test_a_malformed_scope_is_refused(issuer: Issuer, scope: str) -> None:
    """A41, RFC 6749 section 3.3."""
    assert refusal(await issuer.login("bob", scope=scope)) == (400, "invalid_scope")


async def test_a_scope_none_of_which_may_be_had_is_refused(issuer: Issuer) -> None:
    """A41: a token that was asked for something never means everything, and never nothing."""
    assert refusal(await issuer.login("alice", scope="orders:write")) == (400, "invalid_scope")


async def test_a_refused_scope_says_nothing_about_the_password(issuer: Issuer) -> None:
    """U05: what is wrong with the request is said before the password is looked at."""
    right = await issuer.login("alice", scope="orders:delete")
    wrong = await issuer.login("alice", "wrong", scope="orders:delete")
    assert refusal(right) == refusal(wrong) == (400, "invalid_scope")


async def test_the_named_resource_is_the_audience(issuer: Issuer) -> None:
    """A51."""
    await add_bills(issuer)
    body = granted(await issuer.login("bob", resource=BILLS, client_id="books"))
    assert body["scope"] == "bills:read"
    assert (await issuer.claims(body["access_token"], BILLS))["aud"] == BILLS


async def test_the_resource_that_owns_the_scopes_is_the_audience(issuer: Issuer) -> None:
    """A51: nobody has to name it."""
    await add_bills(issuer)
    body = granted(await issuer.login("bob", scope="bills:read", client_id="books"))
    assert (await issuer.claims(body["access_token"], BILLS))["aud"] == BILLS


@pytest.mark.parametrize(
    "fields",
    [
        {"resource": "https://unknown.example"},
        {"resource": "orders"},
        {"resource": ORDERS + "/"},
        {"resource": ORDERS + "#fragment"},
        {"resource": [ORDERS, BILLS]},
        {"resource": [ORDERS, ORDERS]},
        {"scope": "orders:read bills:read"},
        {"scope": "orders:read", "resource": BILLS},
        {},
    ],
    ids=["unknown", "name", "slash", "fragment", "two", "twice", "owners", "other", "none"],
)
async def test_anything_but_exactly_one_known_resource_is_refused(issuer: Issuer, fields: dict[str, str]) -> None:
    """A51, RFC 8707 section 2: a token for several audiences is never issued; `books` has no default resource."""
    await add_bills(issuer)
    assert refusal(await issuer.login("bob", client_id="books", **fields)) == (400, "invalid_target")


async def test_a_resource_that_is_not_open_to_the_client_is_as_good_as_unknown(issuer: Issuer) -> None:
    """A51."""
    await add_bills(issuer)
    assert refusal(await issuer.login("bob", resource=BILLS)) == (400, "invalid_target")


async def test_a_resource_with_an_old_verifier_gets_the_old_type(issuer: Issuer) -> None:
    """DESIGN 5: `typ` is a setting of a resource."""
    await issuer.resources.create("old", "https://old.example", ["old:read"], "JWT")
    await issuer.clients.create(NewClient("old-client", ["client_credentials"], ["old:read"]))
    secret = await issuer.clients.add_secret("old-client")
    await issuer.settled()
    body = granted(await issuer.token("client_credentials", ("old-client", secret), scope="old:read"))
    assert jwt.get_unverified_header(body["access_token"])["typ"] == "JWT"


async def test_a_client_without_the_grant_may_not_use_it(issuer: Issuer) -> None:
    """A36, CVE-2026-9792: the password grant is a permission of the client."""
    response = await issuer.token("password", SERVICE, username="alice", password="wonderland")
    assert refusal(response) == (400, "unauthorized_client")
    assert refusal(await issuer.token("client_credentials", client_id="demo")) == (400, "unauthorized_client")


async def test_without_a_default_client_the_form_must_name_one(start_issuer: StartIssuer) -> None:
    """DESIGN 2: production configures none."""
    async with start_issuer(default_client=None) as issuer:
        assert refusal(await issuer.login()) == (401, "invalid_client")
        swagger = {"Authorization": "Basic Og=="}
        form = {"grant_type": "password", "username": "alice", "password": "wonderland"}
        assert refusal(await issuer.http.post("/token", data=form, headers=swagger)) == (401, "invalid_client")
        granted(await issuer.login(client_id="demo"))


async def test_a_confidential_default_client_is_not_a_way_around_its_secret(start_issuer: StartIssuer) -> None:
    """A30."""
    async with start_issuer(default_client="demo-service") as issuer:
        assert refusal(await issuer.token("client_credentials")) == (401, "invalid_client")
        secret_alone = {"client_secret": NOTES.client_secret}
        assert refusal(await issuer.token("client_credentials", **secret_alone)) == (400, "invalid_request")


@pytest.mark.parametrize("missing", ["username", "password"])
async def test_both_username_and_password_are_needed(issuer: Issuer, missing: str) -> None:
    """A07: an empty parameter is an absent one."""
    fields = {"username": "alice", "password": "wonderland", missing: ""}
    assert refusal(await issuer.token("password", **fields)) == (400, "invalid_request")


async def test_a_password_is_used_as_it_was_received(issuer: Issuer) -> None:
    """U01: nothing is cut off, and two spellings of one character are one character."""
    long = "correct horse battery staple, \u00e9\U0001f40e+&=% " * 20
    await issuer.people.create("carol", long, ["reader"])
    granted(await issuer.login("carol", long))
    granted(await issuer.login("carol", long.replace("\u00e9", "e\u0301")))
    for wrong in (long[:-1], long[:72], long + "x", long.strip()):
        assert refusal(await issuer.login("carol", wrong)) == (400, "invalid_grant")


async def test_a_name_is_recognised_however_it_is_typed(issuer: Issuer) -> None:
    """U14."""
    granted(await issuer.login("ALICE", "wonderland"))
    granted(await issuer.login("\uff41lice", "wonderland"))
    assert refusal(await issuer.login("al\u0131ce", "wonderland")) == (400, "invalid_grant")


async def test_a_password_hash_of_weaker_parameters_is_renewed_at_the_login(issuer: Issuer) -> None:
    """U01."""
    from argon2 import PasswordHasher
    from sqlmodel import col, select, update

    from identity.models import User

    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("wonderland")
    is_alice = col(User.username) == "alice"
    async with issuer.stores.database.transaction() as session:
        await session.execute(update(User).where(is_alice).values(password_hash=weak))
    granted(await issuer.login())
    async with issuer.stores.database.read() as session:
        stored = (await session.scalars(select(User.password_hash).where(is_alice))).one()
    assert stored is not None
    assert "m=19456,t=2,p=1" in stored
    granted(await issuer.login())
