"""The pytest plugin: an issuer for each test, and requests with its tokens.

Its entry point is metadata only: without pytest nobody reads it, and nothing here is ever loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from identity.testing import LocalIssuer


@pytest.fixture
def identity_audience() -> str:
    """What the service under test calls itself; override this fixture to say it once."""
    return "https://service.example"


@pytest.fixture
def identity_issuer(identity_audience: str) -> Iterator[LocalIssuer]:
    """A running issuer that no other test has touched; only its keys are made once for the whole run."""
    from identity.testing import LocalIssuer

    with LocalIssuer(identity_audience) as issuer:
        yield issuer


@pytest.fixture
def identity_dpop(identity_issuer: LocalIssuer) -> Callable[..., dict[str, str]]:
    """Makes the headers of one request with a token that is bound to a key, and its proof (RFC 9449):
    `identity_dpop("GET", "https://service.example/orders", "orders:read")`."""
    from identity.testing import ProofKey

    key = ProofKey()

    def dpop(method: str, address: str, *scopes: str, **said: object) -> dict[str, str]:
        token = identity_issuer.token(scopes=scopes, bound_to=key, **said)  # type: ignore[arg-type]
        return {"Authorization": f"DPoP {token}", "DPoP": key.proof(method, address, token)}

    return dpop


@pytest.fixture
def identity_bearer(identity_issuer: LocalIssuer) -> Callable[..., dict[str, str]]:
    """Makes the headers of a request with a token: `identity_bearer("orders:read", sub="bob", expires_in=-60)`."""

    def bearer(*scopes: str, **said: object) -> dict[str, str]:
        token = identity_issuer.token(scopes=scopes, **said)  # type: ignore[arg-type]
        return {"Authorization": f"Bearer {token}"}

    return bearer
