"""Must show 8: API keys at services, in numbers. What the issuer is asked is counted on the wire."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest
from balancer import Balancer
from bookkeeping import spread
from dev_process import free_ports
from production import Production
from test_api_keys_at_a_service import service

from identity.administration.api_keys import ApiKeyEntry, ApiKeys, NewApiKey
from identity.settings import load_settings
from identity.verifier import ANONYMOUS, ApiKeyExchange, Verifier
from identity.verifier.asgi import BearerMiddleware
from identity.wiring.parts import Stores

ORDERS = "https://orders.example"
BOUND_SECONDS = 2.0
LOOK_SECONDS = 0.002


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    services: int
    keys: int
    calls: int


@dataclass
class Place:
    """Services that take keys, an operator beside the server, and what stands in front of it."""

    operator: ApiKeys
    balancer: Balancer
    services: list[httpx2.AsyncClient]
    made: list[tuple[ApiKeyEntry, str]] = field(default_factory=list)

    async def make_key(self) -> str:
        entry, text = await self.operator.create(NewApiKey("ci", user="carol", scopes=["orders:read"]))
        self.made.append((entry, text))
        return text


async def call(client: httpx2.AsyncClient, key: str) -> int:
    """Calls a service with a key."""
    return (await client.get("/", headers={"X-API-Key": key})).status_code


@pytest.mark.parametrize(
    "scale", [Scale(2, 8, 400), pytest.param(Scale(5, 200, 10_000), marks=pytest.mark.experiment)], ids=str
)
async def test_a_key_works_at_once_needs_no_issuer_and_ends_within_two_seconds(prepared, scale):
    """DESIGN 8 and 9: no exchange and no introspection while a key's token lives; polls of the feed are counted apart."""
    async with running(prepared, scale.services) as place:
        first_calls = [await until_first_call(place) for _ in range(scale.keys)]
        asked_to_warm = await asked(place, every_key_everywhere(place))
        asked_in_steady_state = await asked(place, steady_state(place, scale.calls))
        refusals = [each for entry, key in place.made for each in await until_refused(place, entry.key_id, key)]
    print(f"from the start of a key's creation to its first successful call: {spread(first_calls)}")
    print(f"first call of each key at each other service: the issuer was asked {dict(asked_to_warm)}")
    print(f"{scale.calls} calls: the issuer was asked {dict(asked_in_steady_state)}")
    print(f"from the start of a revocation to the refusal at each of {scale.services} services: {spread(refusals)}")
    assert asked_to_warm["/token"] == scale.keys * (scale.services - 1)
    assert set(asked_in_steady_state) <= {"/revocations"}
    assert len(refusals) == scale.keys * scale.services
    assert max(refusals) <= BOUND_SECONDS


@asynccontextmanager
async def running(prepared: Production, services: int) -> AsyncIterator[Place]:
    """A server behind a balancer that counts, and services that follow its feed."""
    (port,) = free_ports(1)
    prepared.environment["IDENTITY_FEED_PUBLIC"] = "true"
    await asyncio.to_thread(prepared.serve_long, port)
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer(prepared.port, [f"http://127.0.0.1:{port}"]))
        stores = Stores.of(load_settings(prepared.environment))
        stack.push_async_callback(stores.close)
        clients = []
        for _ in range(services):
            verifier = Verifier(prepared.environment["IDENTITY_ISSUER"], ORDERS, credential=ANONYMOUS)
            await stack.enter_async_context(verifier)
            protected = BearerMiddleware(service, verifier, scopes=["orders:read"], api_keys=ApiKeyExchange(verifier))
            client = httpx2.AsyncClient(transport=httpx2.ASGITransport(protected), base_url=ORDERS)
            clients.append(await stack.enter_async_context(client))
        yield Place(ApiKeys(stores.ledger, "operator"), balancer, clients)


async def until_first_call(place: Place) -> float:
    began = time.monotonic()
    key = await place.make_key()
    assert await call(place.services[0], key) == 200
    return time.monotonic() - began


async def every_key_everywhere(place: Place) -> None:
    for client in place.services:
        for _, key in place.made:
            assert await call(client, key) == 200


async def steady_state(place: Place, calls: int) -> None:
    for turn in range(calls):
        _, key = place.made[turn % len(place.made)]
        assert await call(place.services[turn // len(place.made) % len(place.services)], key) == 200


async def asked(place: Place, work) -> Counter[str]:
    """What the issuer was asked during some work."""
    before = place.balancer.requests.copy()
    await work
    return place.balancer.requests - before


async def until_refused(place: Place, key_id: str, key: str) -> list[float]:
    """Returns how long after the start of the revocation each service refused the key, and that it went on refusing."""
    began = time.monotonic()
    revoking = asyncio.create_task(place.operator.revoke(key_id))
    found = await asyncio.gather(*(refused_after(client, key, began) for client in place.services))
    await revoking
    assert [await call(client, key) for client in place.services] == [401] * len(place.services)
    return found


async def refused_after(client: httpx2.AsyncClient, key: str, began: float) -> float:
    async with asyncio.timeout(5 * BOUND_SECONDS):
        while (status := await call(client, key)) != 401:
            assert status in (200, 503)
            await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic() - began
