"""Who uses a server properly while it is under pressure, and what that costs them."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from laboratory import CLIENT, PASSWORD
from wire import Wire


class Bystander:
    """Somebody who refreshes, and does nothing wrong."""

    def __init__(self, port: int) -> None:
        self.wire = Wire(f"http://127.0.0.1:{port}")
        self._token = ""

    async def log_in(self) -> None:
        fields = {"username": "person0", "password": PASSWORD, "scope": "orders:read"}
        await self._ask(grant_type="password", **fields)

    async def refresh_for(self, seconds: float) -> list[float]:
        """How long each answer took; all of them are tokens."""
        times: list[float] = []
        until = time.monotonic() + seconds
        while (began := time.monotonic()) < until:
            await self._ask(grant_type="refresh_token", refresh_token=self._token)
            times.append(time.monotonic() - began)
            await asyncio.sleep(0.002)
        return times

    async def _ask(self, **fields: str) -> None:
        answer = await self.wire.form("/token", client_id=CLIENT, **fields)
        assert answer.status == 200, answer.body
        self._token = answer.json()["refresh_token"]


def memory_of(pid: int) -> int:
    """Bytes of memory a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def percentile(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]
