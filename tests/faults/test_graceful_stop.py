"""F27: servers are stopped and started under load, and nobody's request is lost."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from crowd import Crowd, Mix
from dev_process import free_ports
from fair_balancer import FairBalancer
from history import Fault, History
from invariants import Promises
from laboratory import Installation, installation
from replicas import Replica
from wire import Wire

DRAIN_SECONDS = 10.0
WINDOW = 10


@pytest.mark.parametrize(
    ("name", "delay", "workers"),
    [("F27", 0.0, 1), ("F27-delay", 0.5, 1), ("F27-workers", 0.0, 2)],
    ids=["at once", "when the balancer has noticed", "two workers"],
)
async def test_a_server_that_stops_drops_no_request(experiment, tmp_path, made_keys, choice, name, delay, workers):
    """F27: with readers of the feed, and clients whose bodies arrive slowly, at the moment of SIGTERM."""
    f27 = experiment(name, f"SIGTERM under load, delay {delay} s, {workers} worker")
    rounds, found = f27.rounds(short=2, long=50), History()
    settings = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW), "IDENTITY_STOP_DELAY": str(delay)}
    (port,) = free_ports(1)
    async with (
        installation(tmp_path, made_keys, settings=settings) as lab,
        as_operators_start_it(lab, workers) as servers,
    ):
        ports = [each.port for each in servers]
        drains: list[float] = []
        async with (
            FairBalancer(port, ports, heeds_readiness=delay > 0) as balancer,
            Crowd(
                found,
                [balancer.url],
                [],
                choice,
                mix=Mix(pause=0.01, patience=12.0),
                window=WINDOW,
                credential=lab.credential,
            ) as crowd,
        ):
            for number in range(rounds):
                server = servers[number % 2]
                began, answered = time.monotonic(), balancer.answered
                await crowd.until(lambda answered=answered: balancer.answered > answered + 60)
                drains.append(await stopped(server, lab) - delay)
                await server.start()
                found.faults.append(Fault("SIGTERM", began, time.monotonic()))
            answered = balancer.answered
            await crowd.until(lambda: balancer.answered > answered + 60)
            await crowd.finish()
    notes = (
        f"longest drain {max(drains):.2f} s; sent elsewhere: {balancer.refused} refused connections, "
        f"{balancer.rested} that had rested; dropped {len(balancer.dropped)}"
    )
    assert not f27.report(found, rounds, Promises(window=WINDOW), notes)
    assert balancer.dropped == []
    assert max(drains) < DRAIN_SECONDS
    if delay:
        assert balancer.refused == 0, "nobody is sent to a server that is about to go"


class Workers(Replica):
    """`identity serve --workers 2`: a parent that hands its socket to its children."""

    async def launch(self, **_: object) -> None:
        """Starts it, and does not wait."""
        argv = [sys.executable, "-P", "-m", "identity.cli.server", "127.0.0.1", str(self.port), "2"]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*argv, env=self._environment, stderr=log)
        self.pid = self.process.pid
        self._release()
        self._handle = os.pidfd_open(self.pid)

    async def start(self, **_: object) -> None:
        """Returns when it is ready. Three processes load everything, which takes a while on a busy machine."""
        await self.launch()
        async with asyncio.timeout(90):
            while self.is_alive and not await self.is_ready():
                await asyncio.sleep(0.05)


@asynccontextmanager
async def as_operators_start_it(lab: Installation, workers: int) -> AsyncIterator[list[Replica]]:
    """The first replica with so many workers."""
    if workers == 1:
        yield lab.replicas
        return
    one, other = lab.replicas
    await one.stop()
    parent = Workers(None, asyncio.Lock(), one.port, lab.environment, lab.folder)
    await parent.start()
    try:
        yield [parent, other]
    finally:
        parent.send(signal.SIGTERM)
        await parent.process.wait()
        parent.close()


async def test_a_worker_that_stood_still_for_a_while_is_not_killed(tmp_path, made_keys):
    """F20, I6: one that loads on a busy machine, or that others starve, says nothing for more than uvicorn's 5 s; it was
    killed with all it was answering, and where each start took as long the server was never there."""
    async with installation(tmp_path, made_keys) as lab, as_operators_start_it(lab, 2) as (parent, _):
        before = workers_of(parent.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGSTOP)
        await asyncio.sleep(7.0)
        os.kill(before[0], signal.SIGCONT)
        await asyncio.sleep(1.0)
        assert workers_of(parent.pid) == before


def workers_of(pid: int) -> list[int]:
    """The processes that a parent of workers began, without Python's own helper."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


async def stopped(server: Replica, lab: Installation) -> float:
    """Stops a server that has readers of the feed and slow clients, who must all be answered; returns how long it took."""
    slow = [asyncio.create_task(slow_login(server.port, seconds)) for seconds in (0.5, 1.5)]
    polls = [asyncio.create_task(follow(server.port, lab)) for _ in range(5)]
    await asyncio.sleep(0.2)
    told = time.monotonic()
    await server.stop()
    took = time.monotonic() - told
    assert {answer.partition(b"\r\n")[0] for answer in await asyncio.gather(*slow)} == {b"HTTP/1.1 401 Unauthorized"}
    assert set().union(*await asyncio.gather(*polls)) == {200}
    return took


async def follow(port: int, lab: Installation) -> set[int]:
    """Waits for news, again and again, until the server says that this answer is its last; returns the statuses."""
    follower = f"{lab.credential.client_id}:{lab.credential.secret}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(follower).decode()}"}
    wire, statuses, path = Wire(f"http://127.0.0.1:{port}"), set(), "/revocations"
    try:
        while True:
            answer = await wire.request("GET", path, "", headers)
            statuses.add(answer.status)
            if answer.headers.get("connection") == "close":
                return statuses
            told = answer.json()
            path = f"/revocations?cursor={told['epoch']}.{told['seq']}&wait=25"
    except ConnectionRefusedError:
        return statuses
    finally:
        await wire.close()


async def slow_login(port: int, seconds: float) -> bytes:
    """A body that takes its time, and names nobody."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\n"
        writer.write(f"POST /token HTTP/1.1\r\nHost: x\r\n{form}".encode())
        for _ in range(20):
            writer.write(b"%")
            await asyncio.sleep(seconds / 20)
        return await whole_answer(reader)
    finally:
        writer.close()


async def whole_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return head + await reader.readexactly(int(length or 0))
