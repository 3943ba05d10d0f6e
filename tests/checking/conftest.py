"""What the checks are tried with: plans for services of the test's own."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from services import AUDIENCE, SCOPE

from identity.checking.bench import Plan


@pytest.fixture
def issuer_port() -> int:
    """A port nobody listens on now: the service must know it before the issuer runs."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def plan_for(issuer_port: int) -> Callable[..., Plan]:
    """Makes plans that lose no time."""

    def make(url: str, **changes: object) -> Plan:
        usual = {"audience": AUDIENCE, "scopes": (SCOPE,), "subject": "alice", "method": "GET", "patience": 10.0}
        return Plan(
            url, **{**usual, "issuer_port": issuer_port, "withdrawal_bound": 0.2, "follow_bound": 0.2, **changes}
        )  # type: ignore[arg-type]

    return make
