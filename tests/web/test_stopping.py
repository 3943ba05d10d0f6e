"""A server that stops, stops: whatever it is doing, and at once for those who wait on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from issuer_in_process import Issuer


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8, 12])
async def test_a_server_stops_even_while_it_is_connecting_to_redis(
    start_issuer: Callable[..., AbstractAsyncContextManager[Issuer]], turns: int
) -> None:
    """F27: redis-py swallows a cancellation that arrives in certain turns of the event loop."""
    async with asyncio.timeout(5):
        async with start_issuer():
            for _ in range(turns):
                await asyncio.sleep(0)
