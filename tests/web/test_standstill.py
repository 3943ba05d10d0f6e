"""A server that stood still says so."""

from __future__ import annotations

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from identity.web import standstill
from identity.web.standstill import watch_for_standstills


async def test_an_event_loop_that_was_blocked_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """F20: whoever was not answered meanwhile is told why by the log; a busy moment is none."""
    monkeypatch.setattr(standstill, "LONG_SECONDS", 0.3)
    watching = asyncio.create_task(watch_for_standstills())
    with capture_logs() as logs:
        await asyncio.sleep(0.3)
        assert logs == []
        time.sleep(0.6)
        async with asyncio.timeout(5):
            while not logs:
                await asyncio.sleep(0.01)
    watching.cancel()
    assert logs[0]["event"] == "the server stood still, and answered nobody"
    assert logs[0]["seconds"] >= 0.3
