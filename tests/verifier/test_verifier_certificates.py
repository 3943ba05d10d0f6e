"""A service takes tokens that are bound to a client certificate from whoever holds it (RFC 8705 section 3; V13)."""

# No `from __future__ import annotations`: FastAPI reads the annotations of the route below.

from collections.abc import Callable
from typing import Annotated, Any

import httpx2
import pytest
from certificates import Holder
from fake_issuer import FakeIssuer
from fastapi import FastAPI, Security

from identity.verifier import VerifiedToken, Verifier
from identity.verifier.asgi import BearerMiddleware
from identity.verifier.certificates import CertificateHeader
from identity.verifier.fastapi import BearerGuard, bearer_errors

HEADER = "X-Client-Cert"
SHOP = Holder()


def guarded(verifier: Verifier, certificates: CertificateHeader | None) -> Any:
    app = FastAPI()
    bearer_errors(app)
    guard = BearerGuard(verifier, certificates=certificates)

    async def read(token: Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])]) -> str:
        return token.subject

    app.get("/orders")(read)
    return app


def behind(verifier: Verifier, certificates: CertificateHeader | None) -> Any:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return BearerMiddleware(app, verifier, scopes=["orders:read"], certificates=certificates)


Protect = Callable[..., httpx2.AsyncClient]


@pytest.fixture(params=[guarded, behind])
def protect(request: pytest.FixtureRequest, verifier: Verifier) -> Protect:
    def make(*proxies: str) -> httpx2.AsyncClient:
        certificates = CertificateHeader(HEADER, proxies) if proxies else None
        transport = httpx2.ASGITransport(request.param(verifier, certificates), client=("10.0.0.7", 4711))
        return httpx2.AsyncClient(transport=transport, base_url="http://internal:9000")

    return make


async def status(client: httpx2.AsyncClient, token: str, header: str | None) -> int:
    headers = {"Authorization": f"Bearer {token}"} | ({HEADER: header} if header else {})
    return (await client.get("/orders", headers=headers)).status_code


async def test_v13_a_bound_token_is_taken_from_whoever_holds_the_certificate(
    issuer: FakeIssuer, protect: Protect
) -> None:
    """And a token that is bound to nothing from anybody, with a certificate or without."""
    bound = issuer.mint(scope="orders:read", cnf={"x5t#S256": SHOP.thumbprint})
    async with protect("10.0.0.0/8") as client:
        for header in (SHOP.structured, SHOP.escaped):
            assert await status(client, bound, header) == 200
        for header in (None, Holder().structured, ":AAAA:", "nonsense"):
            assert await status(client, bound, header) == 401
        plain = issuer.mint(scope="orders:read")
        assert await status(client, plain, None) == await status(client, plain, SHOP.structured) == 200


async def test_v13_a_token_bound_to_a_proofs_key_is_not_opened_by_a_certificate(
    issuer: FakeIssuer, protect: Protect
) -> None:
    async with protect("10.0.0.0/8") as client:
        for claim in ({"jkt": SHOP.thumbprint}, {"x5t": SHOP.thumbprint}, {}, "x"):
            assert await status(client, issuer.mint(scope="orders:read", cnf=claim), SHOP.structured) == 401


async def test_a60_a_header_from_anybody_but_the_proxy_means_nothing(issuer: FakeIssuer, protect: Protect) -> None:
    """Nor does it where nobody said that one comes."""
    bound = issuer.mint(scope="orders:read", cnf={"x5t#S256": SHOP.thumbprint})
    for proxies in ((), ("192.0.2.1",)):
        async with protect(*proxies) as client:
            assert await status(client, bound, SHOP.structured) == 401
