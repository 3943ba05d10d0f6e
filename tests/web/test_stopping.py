"""A server that stops, stops: whatever it is doing, and at once for those who wait on it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from httpx2 import AsyncClient, ConnectError

from identity.app import create_app
from identity.settings import Settings


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8, 12])
async def test_a_server_stops_even_while_it_is_connecting_to_redis(
    settings_of: Callable[..., Settings], turns: int
) -> None:
    """F27: redis-py swallows a cancellation that arrives in certain turns of the event loop."""
    app = create_app(settings_of())
    async with asyncio.timeout(5), app.router.lifespan_context(app):
        for _ in range(turns):
            await asyncio.sleep(0)


@pytest.fixture
def server_process(settings_of: Callable[..., Settings]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The real server, in a process of its own, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    settings = settings_of(issuer=address)
    environment = {
        **os.environ,
        "IDENTITY_MODE": "dev",
        "IDENTITY_ISSUER": address,
        "IDENTITY_DATABASE_URL": settings.database_url.get_secret_value().replace("+aiosqlite", ""),
        "IDENTITY_REDIS_URL": "fakeredis://",
        "IDENTITY_KEYS_DIR": str(settings.keys_dir),
        "IDENTITY_FEED_PUBLIC": "true",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "identity.cli.server", "127.0.0.1", str(port)], env=environment, stderr=subprocess.PIPE
    )
    yield process, address
    process.kill()
    process.communicate()


async def test_waiting_polls_do_not_hold_up_a_server_that_was_told_to_stop(
    server_process: tuple[subprocess.Popen[bytes], str],
) -> None:
    """F27, DESIGN 8: SIGTERM ends every poll at once, with an answer, before the server waits for its connections."""
    process, address = server_process
    async with AsyncClient(base_url=address, timeout=30) as http:
        async with asyncio.timeout(15):
            while True:
                try:
                    picture = (await http.get("/revocations")).json()
                    break
                except ConnectError:
                    await asyncio.sleep(0.05)
        cursor = {"cursor": f"{picture['epoch']}.{picture['seq']}", "wait": "25"}
        polls = [asyncio.create_task(http.get("/revocations", params=cursor)) for _ in range(5)]
        done, _ = await asyncio.wait(polls, timeout=0.5)
        assert not done
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        answers = await asyncio.gather(*polls)
        assert {answer.status_code for answer in answers} == {200}
        await asyncio.to_thread(process.wait, 10)
        assert time.monotonic() - told < 4, "far less than the 25 s of a poll and the 10 s of the drain"
