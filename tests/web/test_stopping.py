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
def server_process(
    settings_of: Callable[..., Settings], request: pytest.FixtureRequest
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The real server, in a process of its own, and its address; a parameter is its delay."""
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
        "IDENTITY_STOP_DELAY": str(getattr(request, "param", 0)),
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
        await _until_up(http)
        picture = (await http.get("/revocations")).json()
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


@pytest.mark.parametrize("server_process", [1.0], indirect=True)
async def test_a_server_told_to_stop_answers_everybody_until_the_balancer_has_noticed(
    server_process: tuple[subprocess.Popen[bytes], str],
) -> None:
    """F27: readiness is red at once, new connections are answered for the delay, and each answer is the last on its own.
    A repeated SIGTERM does not hurry, and feed polls are not chased from one answer to the next."""
    process, address = server_process
    async with AsyncClient(base_url=address, timeout=30) as http:
        await _until_up(http)
        picture = (await http.get("/revocations")).json()
        cursor = {"cursor": f"{picture['epoch']}.{picture['seq']}", "wait": "25"}
        poll = asyncio.create_task(http.get("/revocations", params=cursor))
        await asyncio.sleep(0.2)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(0.5):
            while (ready := await http.get("/health/ready")).status_code == 200:
                await asyncio.sleep(0.01)
        assert (ready.status_code, ready.json()["reason"]) == (503, "The server is stopping")
        while time.monotonic() < told + 0.8:
            live = await http.get("/health/live")
            assert (live.status_code, live.headers["Connection"]) == (200, "close")
            await asyncio.sleep(0.05)
        assert not poll.done()
        assert (await poll).status_code == 200
        assert time.monotonic() - told < 2
        assert await asyncio.to_thread(process.wait, 10) == -signal.SIGTERM


async def _until_up(http: AsyncClient) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await http.get("/health/live")
                return
            except ConnectError:
                await asyncio.sleep(0.05)
