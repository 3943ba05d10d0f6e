"""The FastAPI guard over real requests: which answer each request gets, to the letter."""

# No `from __future__ import annotations`: FastAPI reads the annotations of the routes below.

import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import httpx2
import pytest
from fake_issuer import AUDIENCE, FEED, JWKS, FakeIssuer, Reply
from fastapi import FastAPI, Security

from identity.verifier import ANONYMOUS, VerifiedToken, Verifier
from identity.verifier.fastapi import BearerGuard, bearer_errors, verifier_lifespan

Make = Callable[..., Verifier]


def application(guard: BearerGuard, *, rfc_errors: bool = True) -> FastAPI:
    app = FastAPI()
    if rfc_errors:
        bearer_errors(app)

    async def whoever(token: Annotated[VerifiedToken, Security(guard)]) -> str:
        return token.subject

    async def reader(token: Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])]) -> str:
        return token.subject

    async def writer(token: Annotated[VerifiedToken, Security(guard, scopes=["orders:read", "orders:write"])]) -> str:
        return token.subject

    app.get("/me")(whoever)
    app.get("/read")(reader)
    app.get("/write")(writer)
    return app


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://orders.example")


@pytest.fixture
async def client(verifier: Verifier) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(application(BearerGuard(verifier))) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_good_token_reaches_the_route(client: httpx2.AsyncClient, issuer: FakeIssuer) -> None:
    for path in ("/me", "/read"):
        answer = await client.get(path, headers=bearer(issuer.mint()))
        assert (answer.status_code, answer.json()) == (200, "alice")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
async def test_scheme_is_case_insensitive(client: httpx2.AsyncClient, issuer: FakeIssuer, scheme: str) -> None:
    """RFC 9110 section 11.1"""
    answer = await client.get("/me", headers={"Authorization": f"{scheme} {issuer.mint()}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "DPoP a.b.c"}, {"Authorization": ""}]
)
async def test_request_without_a_token_gets_a_challenge_without_error(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    """V14; RFC 6750 section 3.1: a client that did not know says nothing wrong."""
    answer = await client.get("/me", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    answer = await client.get("/write", headers=headers)
    assert answer.headers["WWW-Authenticate"] == 'Bearer scope="orders:read orders:write"'
    assert answer.headers["Cache-Control"] == "no-store"


async def test_refused_token_gets_401_with_its_reason(client: httpx2.AsyncClient, issuer: FakeIssuer) -> None:
    """V14"""
    now = int(time.time())
    answer = await client.get("/read", headers=bearer(issuer.mint(iat=now - 700, exp=now - 100)))
    assert answer.status_code == 401
    challenge = 'Bearer error="invalid_token", error_description="The token has expired."'
    assert answer.headers["WWW-Authenticate"] == challenge
    assert answer.json() == {"error": "invalid_token", "error_description": "The token has expired."}


async def test_token_without_the_scope_gets_403_naming_it(client: httpx2.AsyncClient, issuer: FakeIssuer) -> None:
    """V14, V16"""
    answer = await client.get("/write", headers=bearer(issuer.mint(scope="orders:read")))
    assert answer.status_code == 403
    assert answer.json()["error"] == "insufficient_scope"
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_scope", error_description="The token does not permit this.", '
        'scope="orders:read orders:write"'
    )


@pytest.mark.parametrize("scope", [None, "", "orders", "orders:reader", "Orders:read", "orders:read\torders:write"])
async def test_scope_is_compared_whole(client: httpx2.AsyncClient, issuer: FakeIssuer, scope: str | None) -> None:
    """V16"""
    assert (await client.get("/read", headers=bearer(issuer.mint(scope=scope)))).status_code == 403


@pytest.mark.parametrize("header", [False, True])
async def test_token_in_the_query_is_a_bad_request(
    client: httpx2.AsyncClient, issuer: FakeIssuer, header: bool
) -> None:
    """V15; RFC 9700 section 4.3.2: addresses end up in logs."""
    token = issuer.mint()
    answer = await client.get("/me", params={"access_token": token}, headers=bearer(token) if header else {})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]
    assert (await client.get("/me?q=access_token", headers=bearer(token))).status_code == 200


async def test_two_authorization_headers_are_a_bad_request(client: httpx2.AsyncClient, issuer: FakeIssuer) -> None:
    """V15"""
    pair = [("Authorization", f"Bearer {issuer.mint()}")] * 2
    assert (await client.get("/me", headers=pair)).status_code == 400


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "bearer    "])
async def test_scheme_without_a_token_is_a_bad_request(client: httpx2.AsyncClient, value: str) -> None:
    """V15"""
    assert (await client.get("/me", headers={"Authorization": value})).status_code == 400


@pytest.mark.parametrize("value", [b"Bearer a b", b"Bearer a,b", b"Bearer \xff\xfe", b"Bearer a\tb", b"Bearer a=="])
async def test_garbage_after_the_scheme_is_an_invalid_token(client: httpx2.AsyncClient, value: bytes) -> None:
    """V02"""
    answer = await client.get("/me", headers=[(b"Authorization", value)])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


async def test_unreachable_keys_are_503_with_retry_after(client: httpx2.AsyncClient, issuer: FakeIssuer) -> None:
    """V18: no client is told that its token is bad when nobody knows."""
    issuer.fail(JWKS, Reply(500))
    answer = await client.get("/me", headers=bearer(issuer.mint()))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error"] == "temporarily_unavailable"
    assert "WWW-Authenticate" not in answer.headers


async def test_stale_policy_may_differ_by_route(verifier_of: Make, issuer: FakeIssuer) -> None:
    """I5: rejecting what nobody can judge is 503 too."""
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(credential=ANONYMOUS, when_stale="accept")
    for policy, status in ((None, 200), ("accept", 200), ("reject", 503)):
        async with client_of(application(BearerGuard(verifier, when_stale=policy))) as client:  # type: ignore[arg-type]
            assert (await client.get("/me", headers=bearer(issuer.mint()))).status_code == status


async def test_resource_metadata_is_named_in_challenges_when_there_is_any(verifier: Verifier) -> None:
    """V14; RFC 9728 section 5.1"""
    address = "http://orders.example/.well-known/oauth-protected-resource"
    guard = BearerGuard(verifier, resource_metadata=address)
    async with client_of(application(guard)) as client:
        answer = await client.get("/me")
        assert answer.headers["WWW-Authenticate"] == f'Bearer resource_metadata="{address}"'


async def test_errors_make_sense_without_the_handler(verifier: Verifier) -> None:
    async with client_of(application(BearerGuard(verifier), rfc_errors=False)) as client:
        answer = await client.get("/me", headers=bearer("x"))
        assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer error=")


@pytest.mark.parametrize(("policy", "why"), [("introspect", "credential"), ("maybe", "one of")])
async def test_a_policy_that_cannot_be_followed_is_refused_at_construction(
    verifier: Verifier, policy: str, why: str
) -> None:
    """V18: not when the picture is stale for the first time."""
    with pytest.raises(ValueError, match=why):
        BearerGuard(verifier, when_stale=policy)  # type: ignore[arg-type]


async def test_openapi_document_has_what_the_authorize_button_needs(verifier: Verifier, issuer: FakeIssuer) -> None:
    guard = BearerGuard(verifier, scopes={"orders:read": "See orders"})
    document = application(guard).openapi()
    flow = document["components"]["securitySchemes"]["OAuth2"]["flows"]["password"]
    assert flow == {"scopes": {"orders:read": "See orders"}, "tokenUrl": issuer.url + "/token"}
    assert document["paths"]["/read"]["get"]["security"] == [{"OAuth2": ["orders:read"]}]
    elsewhere = application(BearerGuard(verifier, token_url="/proxied/token", scheme_name="Orders")).openapi()
    assert elsewhere["components"]["securitySchemes"]["Orders"]["flows"]["password"]["tokenUrl"] == "/proxied/token"


async def test_lifespan_fetches_keys_from_the_start_and_leaves_nothing(
    issuer: FakeIssuer, eventually: Callable[..., object]
) -> None:
    verifier = Verifier(issuer.url, AUDIENCE)
    app = application(BearerGuard(verifier))
    async with verifier_lifespan(verifier)(app):
        await eventually(lambda: verifier.status().key_ids == ("key-one",))  # type: ignore[misc]
    assert verifier._tasks == ()
