"""Waiting for a store, without taking one's own standstill for its silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raises `TimeoutError` when the block takes longer, and the event loop had the time to see what arrived.

    After a process was frozen, or starved, everything is due at once: the answer that has long arrived, and the end of its
    waiting. So the waiting has two halves, and the second begins when the loop comes to it.
    """
    loop, half = asyncio.get_running_loop(), seconds / 2
    async with asyncio.timeout(seconds) as limit:
        second_half = loop.call_later(half, lambda: limit.reschedule(loop.time() + half))
        try:
            yield
        finally:
            second_half.cancel()
