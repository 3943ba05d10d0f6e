"""F07: clients that hang up at any moment of a request; every answer still belongs to whoever asked for it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

from crowd import Crowd, Mix
from history import Fault, History, Outcome
from invariants import Promises
from laboratory import CLIENT, PASSWORD, Installation, installation
from sqlalchemy import text

WINDOW = 10
MOST_REDIS, MOST_SQL = 3, 10
"""Connections of one server to its stores: the pipe, the blocking read and one that is being replaced; the pool."""

HEAD = (
    "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n"
)


async def test_clients_that_hang_up_take_nobody_elses_answer(experiment, tmp_path, made_keys, choice):
    """F07, I3, CVE-2023-28858: a third of all requests is left alone before the body, in it, or before the answer."""
    f07 = experiment("F07", "a third of the clients hangs up at random")
    thousands, found = f07.rounds(short=1, long=100, at_once=25), History()
    wanted = thousands * 1000 if f07.is_long else 300
    mix = Mix(abandon=0.3, verify=0.05, introspect=0.3, twins=0.02, end=0.02, rest=1.0, sessions=10, patience=12)
    async with installation(tmp_path, made_keys, settings={"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}) as lab:
        servers = [each.url for each in lab.replicas]
        descriptors = [descriptors_of(each.pid) for each in lab.replicas]
        async with Crowd(
            found, servers, [], choice, mix=mix, window=WINDOW, credential=lab.credential, workers=8
        ) as crowd:
            began = asyncio.get_running_loop().time()
            async with rude_clients(lab, choice) as rude:
                await crowd.until(lambda: len(found.operations) >= wanted, 3600)
                connections = await connections_of(lab)
            found.faults.append(Fault("clients hang up", began, asyncio.get_running_loop().time(), recovers=True))
            await crowd.finish()
        await until_clean(lab, descriptors)
    abandoned = sum(each.outcome is Outcome.ABANDONED for each in found.operations)
    note = f"{abandoned + rude[0]:,} requests abandoned; connections of two servers to (Redis, SQL): {connections}"
    assert not f07.report(found, thousands, Promises(window=WINDOW), note)
    assert abandoned > 0
    assert connections[0] <= 2 * MOST_REDIS + 2
    assert connections[1] <= 2 * MOST_SQL + 1


@contextlib.asynccontextmanager
async def rude_clients(lab: Installation, choice: random.Random) -> AsyncIterator[list[int]]:
    """Clients that send half of a login or of a wrong token, and are gone; counts them."""
    gone, login = [0], {"grant_type": "password", "username": "person1", "password": PASSWORD, "client_id": CLIENT}
    forms = [urlencode(login), urlencode({"grant_type": "refresh_token", "refresh_token": "x", "client_id": CLIENT})]

    async def work() -> None:
        while True:
            body = choice.choice(forms)
            request = (HEAD.format(len(body)) + body).encode()
            cut = choice.choice([choice.randrange(len(request)), len(request) - len(body), len(request)])
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", choice.choice(lab.replicas).port)
                try:
                    writer.write(request[:cut])
                    await asyncio.sleep(choice.uniform(0, 0.03))
                finally:
                    (writer.transport.abort if choice.random() < 0.5 else writer.close)()
            gone[0] += 1
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(work()) for _ in range(3)]
    try:
        yield gone
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def connections_of(lab: Installation) -> tuple[int, int]:
    """How many Redis and PostgreSQL have from everybody, the experiment's own included."""
    clients = str(await lab.stores.redis.execute("CLIENT", "LIST"))
    async with lab.stores.database.read() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return len(clients.strip().splitlines()), int((await session.execute(text(query))).scalar_one())


async def until_clean(lab: Installation, before: list[int]) -> None:
    """Every descriptor of a client is given back; stores may have been given a few."""
    async with asyncio.timeout(15):
        for server, count in zip(lab.replicas, before, strict=True):
            while descriptors_of(server.pid) > count + MOST_REDIS + MOST_SQL:
                await asyncio.sleep(0.05)


def descriptors_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
