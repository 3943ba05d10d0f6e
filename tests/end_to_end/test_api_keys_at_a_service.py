"""An API key from the command that makes it to the service that takes it, and back to the command that ends it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx2
from dev_process import Dev

from identity.verifier import ANONYMOUS, ApiKeyExchange, Verifier
from identity.verifier.asgi import BearerMiddleware


async def service(scope: Any, _receive: Any, send: Any) -> None:
    token = scope["state"]["token"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{token.client_id} {token.grant_id}".encode()})


async def make_key(dev: Dev, *words: str) -> dict[str, str]:
    made = await asyncio.to_thread(dev.command, "api-keys", "create", "--name", "ci", *words, "--json")
    assert made.returncode == 0, made.stderr
    found: dict[str, str] = json.loads(made.stdout)
    return found


async def test_a_key_is_made_used_and_ended_and_needs_no_issuer_in_between(dev: Dev) -> None:
    """Revoked, it is refused within 2 s; and while its token lives the issuer may be away."""
    persons = await make_key(dev, "--user", "bob", "--scope", "orders:read")
    service_s = await make_key(dev, "--client", "demo-service", "--scope", "orders:read")
    async with Verifier(dev.issuer, dev.orders, credential=ANONYMOUS) as verifier:
        protected = BearerMiddleware(service, verifier, scopes=["orders:read"], api_keys=ApiKeyExchange(verifier))
        transport = httpx2.ASGITransport(protected)
        async with httpx2.AsyncClient(transport=transport, base_url=dev.orders) as client:

            async def call(made: dict[str, str]) -> httpx2.Response:
                return await client.get("/", headers={"X-API-Key": made["api_key"]})

            assert (await call(persons)).text == f"urn:identity:client:api-key {persons['key_id']}"
            assert (await call(service_s)).text == f"demo-service {service_s['key_id']}"
            ended = await asyncio.to_thread(dev.command, "api-keys", "revoke", persons["key_id"])
            assert ended.returncode == 0, ended.stderr
            ended_at = time.monotonic()
            while (await call(persons)).status_code != 401:
                assert time.monotonic() - ended_at < 2.0
                await asyncio.sleep(0.01)
            assert await asyncio.to_thread(dev.stop) == 0
            for _ in range(100):
                assert (await call(service_s)).status_code == 200
    assert persons["api_key"] not in dev.printed()
    assert service_s["api_key"] not in dev.printed()
