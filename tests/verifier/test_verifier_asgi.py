"""The ASGI middleware: the same answers as the FastAPI guard, in front of any application."""

# No `from __future__ import annotations`: FastAPI reads the annotations of the routes below.

import time
from collections.abc import Callable
from typing import Annotated, Any

import httpx2
import pytest
from fake_issuer import FEED, FakeIssuer, Reply
from fastapi import FastAPI, Security
from starlette.requests import Request

from identity.verifier import ANONYMOUS, VerifiedToken, Verifier
from identity.verifier.asgi import BearerMiddleware
from identity.verifier.fastapi import BearerGuard, bearer_errors

Make = Callable[..., Verifier]


def behind(verifier: Verifier, **options: Any) -> httpx2.AsyncClient:
    """An application without any framework, behind the middleware."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        token = scope.get("state", {}).get("token")
        if token is not None and scope["path"] == "/write":
            token.require("orders:write")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": (token.subject if token else "nobody").encode()})

    return client_of(BearerMiddleware(app, verifier, **options))


def client_of(app: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://orders.example")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_good_token_reaches_the_application(verifier: Verifier, issuer: FakeIssuer) -> None:
    async with behind(verifier, scopes=["orders:read"]) as client:
        answer = await client.get("/", headers=bearer(issuer.mint()))
        assert (answer.status_code, answer.text) == (200, "alice")


REQUESTS: dict[str, Callable[[FakeIssuer], dict[str, Any]]] = {
    "no token": lambda _: {},
    "another scheme": lambda _: {"headers": {"Authorization": "Basic YTpi"}},
    "no token after the scheme": lambda _: {"headers": {"Authorization": "Bearer "}},
    "two headers": lambda issuer: {"headers": [("Authorization", f"Bearer {issuer.mint()}")] * 2},
    "garbage": lambda _: {"headers": [(b"Authorization", b"Bearer \xff\xfe")]},
    "expired": lambda issuer: {"headers": bearer(issuer.mint(iat=int(time.time()) - 700, exp=int(time.time()) - 100))},
    "another audience": lambda issuer: {"headers": bearer(issuer.mint(aud="http://elsewhere.example"))},
    "another scope": lambda issuer: {"headers": bearer(issuer.mint(scope="orders:write"))},
    "in the query": lambda issuer: {"params": {"access_token": issuer.mint()}},
    "in the query, spelt otherwise": lambda issuer: {"params": b"%61ccess_token=x", "headers": bearer(issuer.mint())},
}


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
async def test_refusals_are_those_of_the_guard_to_the_byte(
    verifier: Verifier, issuer: FakeIssuer, request_of: Callable[[FakeIssuer], dict[str, Any]]
) -> None:
    """V14, V15, V16: one rule, written once."""
    guarded = FastAPI()
    bearer_errors(guarded)
    guard = BearerGuard(verifier)

    async def read(token: Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])]) -> str:
        return token.subject

    guarded.get("/")(read)
    sent = request_of(issuer)
    async with client_of(guarded) as by_guard, behind(verifier, scopes=["orders:read"]) as by_middleware:
        one, other = await by_guard.get("/", **sent), await by_middleware.get("/", **sent)
    assert one.status_code == other.status_code >= 400
    assert one.json() == other.json()
    assert dict(one.headers) == dict(other.headers)


async def test_application_may_ask_for_more_than_the_middleware(verifier: Verifier, issuer: FakeIssuer) -> None:
    """V14: what `require` raises is an answer, not a failure."""
    async with behind(verifier) as client:
        answer = await client.get("/write", headers=bearer(issuer.mint(scope="orders:read")))
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
        assert 'scope="orders:write"' in answer.headers["WWW-Authenticate"]
        assert (await client.get("/write", headers=bearer(issuer.mint(scope="orders:write")))).status_code == 200


async def test_in_front_of_fastapi_the_endpoint_finds_the_token(verifier: Verifier, issuer: FakeIssuer) -> None:
    app = FastAPI()

    async def write(request: Request) -> str:
        token: VerifiedToken = request.state.token
        token.require("orders:write")
        return token.subject

    app.get("/write")(write)
    app.add_middleware(BearerMiddleware, verifier=verifier)
    async with client_of(app) as client:
        assert (await client.get("/write")).status_code == 401
        assert (await client.get("/elsewhere")).status_code == 401
        assert (await client.get("/write", headers=bearer(issuer.mint(scope="orders:read")))).status_code == 403
        assert (await client.get("/write", headers=bearer(issuer.mint(scope="orders:write")))).json() == "alice"


@pytest.mark.parametrize("path", ["/health", "/%68ealth"])
async def test_open_path_needs_no_token(verifier: Verifier, path: str) -> None:
    async with behind(verifier, open_paths=["/health"]) as client:
        assert (await client.get(path)).text == "nobody"


@pytest.mark.parametrize("path", ["/health/", "/Health", "/health/orders", "//health", "/health;x", "/health%2f"])
async def test_only_the_exact_path_is_open(verifier: Verifier, path: str) -> None:
    async with behind(verifier, open_paths=["/health"]) as client:
        assert (await client.get(path)).status_code == 401


async def test_stale_policy_may_differ_from_the_verifiers(verifier_of: Make, issuer: FakeIssuer) -> None:
    """I5"""
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(credential=ANONYMOUS, when_stale="accept")
    for policy, status in ((None, 200), ("reject", 503)):
        async with behind(verifier, when_stale=policy) as client:
            assert (await client.get("/", headers=bearer(issuer.mint()))).status_code == status


async def connect(verifier: Verifier, headers: list[tuple[bytes, bytes]], extensions: Any = None) -> list[Any]:
    """What an application behind the middleware, and the middleware, send to a WebSocket that wants to open."""
    sent: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept", "subject": scope["state"]["token"].subject})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read before the token is good")

    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": headers, "extensions": extensions or {}}
    await BearerMiddleware(app, verifier)(scope, receive, send)
    return sent


async def test_websocket_is_opened_with_a_token_and_refused_without(verifier: Verifier, issuer: FakeIssuer) -> None:
    """V15: a handshake is a request like any other."""
    good = [(b"authorization", f"Bearer {issuer.mint()}".encode())]
    assert await connect(verifier, good) == [{"type": "websocket.accept", "subject": "alice"}]
    assert await connect(verifier, []) == [{"type": "websocket.close", "code": 1008}]
    start, body = await connect(verifier, [], {"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert b"missing_token" in body["body"]


async def test_what_is_no_request_passes(verifier: Verifier) -> None:
    passed: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        passed.append(scope["type"])

    async def nothing(*_: Any) -> None: ...

    await BearerMiddleware(app, verifier)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    assert passed == ["lifespan"]
