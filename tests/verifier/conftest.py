"""Two signing keys for the whole run, an issuer on a real socket per test, and verifiers that are closed afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from fake_issuer import AUDIENCE, FakeIssuer, SigningKey, running

from identity.verifier import Verifier


@pytest.fixture(scope="session")
def signing_keys() -> list[SigningKey]:
    return [SigningKey(kid, generate_private_key(65537, 2048)) for kid in ("key-one", "key-two")]


@pytest.fixture
def issuer(signing_keys: list[SigningKey]) -> Iterator[FakeIssuer]:
    with running(signing_keys[:1]) as issuer:
        yield issuer


@pytest.fixture
async def verifier_of(issuer: FakeIssuer) -> AsyncIterator[Callable[..., Verifier]]:
    """Makes verifiers of the test's issuer."""
    made: list[Verifier] = []

    def make(**settings: object) -> Verifier:
        made.append(Verifier(settings.pop("issuer", issuer.url), AUDIENCE, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for verifier in made:
        await verifier.aclose()


@pytest.fixture
def verifier(verifier_of: Callable[..., Verifier]) -> Verifier:
    return verifier_of()


async def soon(holds: Callable[[], bool], seconds: float = 4.0) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    return soon
