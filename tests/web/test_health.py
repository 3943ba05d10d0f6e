"""`GET /health/ready`: when the balancer may send somebody here."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from identity.web.health import Health

AWAY = "Redis is unavailable: TimeoutError"
WRONG = "The clock of Redis is 7 s ahead of this machine's"


@pytest.mark.parametrize(
    ("age", "problem", "clock", "status", "reason"),
    [
        (0.5, "", "", 200, None),
        (0.5, AWAY, "", 200, None),
        (2.5, AWAY, "", 503, AWAY),
        (2.5, "", "", 503, "The revocation feed is not confirmed"),
        (0.5, "", WRONG, 503, WRONG),
        (2.5, AWAY, WRONG, 503, AWAY),
    ],
)
async def test_a_server_is_ready_while_the_feed_is_confirmed_and_its_clock_right(
    age: float, problem: str, clock: str, status: int, reason: str | None
) -> None:
    """I5, F14: and it says why it is not."""
    services: Any = SimpleNamespace(
        follower=SimpleNamespace(age=age, problem=problem),
        clocks=SimpleNamespace(problem=clock),
        keys=SimpleNamespace(problem=""),
        stop=SimpleNamespace(has_begun=False),
    )
    answer = await Health(services).ready(Request({"type": "http"}))
    assert (answer.status_code, json.loads(answer.body).get("reason")) == (status, reason)
