"""More clients at once than the server can answer quickly: they wait; nobody is refused because of the server's own load."""

from __future__ import annotations

import asyncio
import time

from test_story import log_in

CONNECTIONS = 400
SECONDS = 5.0


async def test_many_refreshes_at_once_are_slow_at_worst_and_never_refused(dev, connect):
    """I6: the turns of the loop stay short, so the feed's head is confirmed in time however many requests are ready."""
    tokens = (await log_in(connect(dev.issuer)))["refresh_token"]
    ends_at = time.monotonic() + SECONDS
    statuses: list[int] = []

    async def one() -> None:
        wire, token = connect(dev.issuer), tokens
        while time.monotonic() < ends_at:
            answer = await wire.form("/token", grant_type="refresh_token", refresh_token=token)
            statuses.append(answer.status)

    # All present the same token, over and over: within its window each gets the same successor, at the full cost.
    async with asyncio.timeout(60):
        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    print(f"{len(statuses)} refreshes over {CONNECTIONS} connections")
    assert set(statuses) == {200}
