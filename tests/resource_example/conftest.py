"""The example is tried against the same small issuer as the verifier."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))

from fake_issuer import FakeIssuer, SigningKey, running


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    return SigningKey("key-one", generate_private_key(65537, 2048))


@pytest.fixture
def issuer(signing_key: SigningKey) -> Iterator[FakeIssuer]:
    with running([signing_key]) as issuer:
        yield issuer
