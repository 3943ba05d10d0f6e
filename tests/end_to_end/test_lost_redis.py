"""Must show 6: Redis loses everything, or comes back older than it was, at random moments under load.

Two servers on PostgreSQL and a Valkey of the test's own; verifiers follow the feed through a balancer. Everything whose
revocation got its 200 is shown again and again, at both servers and at every verifier.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from balancer import Balancer
from bookkeeping import BOUND_SECONDS, Books, spread
from dev_process import free_ports
from engines import scratch
from lost_redis_load import Load, answered, refreshed
from own_valkey import OwnValkey, Snapshot
from production import Production, log_in
from watchers import is_revoked
from wire import Wire

from identity.verifier import ANONYMOUS, Verifier

ORDERS = "https://orders.example"
VERIFIERS = 4
RESUME_SECONDS = 10.0
RETRY_WINDOW = 2.0
KEPT_SNAPSHOTS = 3
WORTH_A_SNAPSHOT = 3
"""Sessions: one of them is to end afterwards."""
FAR_AWAY_SECONDS = 3.0
"""Longer than a server issues without having confirmed its head."""
LONGEST_UNHEARD_SECONDS = 1.8
"""A little less: a server that wakes in an outage tries more and more seldom, and may issue at its end."""

FLUSH, SET_BACK = "FLUSHALL", "set back"


@pytest.fixture
def valkey(prepared: Production):
    folder = Path(tempfile.mkdtemp(prefix="lost-", dir=scratch()))
    own = OwnValkey(folder)
    prepared.environment |= {
        "IDENTITY_REDIS_URL": own.url,
        "IDENTITY_LOGIN_ATTEMPTS": "1000000",
        "IDENTITY_LOGIN_ATTEMPTS_PER_ADDRESS": "1000000",
        "IDENTITY_FEED_PUBLIC": "true",
        "IDENTITY_ACCESS_TOKEN_LIFETIME": "900",
        "IDENTITY_REFRESH_RETRY_WINDOW": str(RETRY_WINDOW),
    }
    yield own
    own.kill()
    shutil.rmtree(folder)


class Saboteur:
    """Makes the faults; each is in the books from its first moment on."""

    def __init__(self, valkey: OwnValkey, load: Load, books: Books, choice: random.Random) -> None:
        self._valkey, self._load, self._books, self._choice = valkey, load, books, choice
        self._snapshots: list[Snapshot] = []

    async def prepare(self, shortest: float, longest: float) -> None:
        """Lets time pass, with a snapshot somewhere in it, and somebody's end after that."""
        await asyncio.sleep(self._choice.uniform(shortest, longest))
        await self._load.until(lambda: self._load.known() >= WORTH_A_SNAPSHOT)
        self._snapshots.append(await self._valkey.take_snapshot())
        if len(self._snapshots) > KEPT_SNAPSHOTS:
            self._valkey.forget(self._snapshots.pop(0))
        await asyncio.sleep(self._choice.uniform(shortest, longest))
        as_of = self._snapshots[-1].taken_at
        await self._load.until(lambda: bool(self._books.would_revive(as_of)))
        if (
            self._choice.random() < 0.5
        ):  # The moment of a 200 is the worst: not every server has heard of that rule yet.
            ends = len(self._books.ended)
            await self._load.until(lambda: len(self._books.ended) > ends)

    async def strike(self, kind: str) -> None:
        """Returns when Redis answers again."""
        self._books.counts[kind] += 1
        if kind == FLUSH:
            self._books.begin_fault()
            self._books.end_fault(await self._valkey.flush(), None)
            return
        snapshot = self._choice.choice(self._snapshots)
        self._load.choose_victim(snapshot.taken_at)
        self._books.begin_fault()
        self._books.end_fault(await self._set_back(snapshot), snapshot.taken_at)
        self._load.set_thief()

    async def _set_back(self, snapshot: Snapshot) -> float:
        self._valkey.kill()
        await self._valkey.put_back(snapshot)
        if self._choice.random() < 0.15:
            await asyncio.sleep(FAR_AWAY_SECONDS)
        elif self._choice.random() < 0.5:
            await asyncio.sleep(self._choice.uniform(0, 1.5))
        return await self._valkey.start()


@pytest.mark.parametrize(
    ("faults", "pause"), [(1, (0.3, 0.8)), pytest.param(32, (0.3, 2.0), marks=pytest.mark.experiment)]
)
async def test_nothing_that_ended_is_accepted_again_when_redis_loses_data(prepared, valkey, connect, faults, pause):
    """A45, A55, I1, I2, I7, F01, F02: refused within 1 s of Redis's return, and at once where the rule was known; no valid
    access token is refused, and no session is lost that the snapshot held."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choice, books = random.Random(seed), Books()
    kinds = [FLUSH, SET_BACK] * faults
    choice.shuffle(kinds)
    async with running(prepared, valkey, connect, books, choice) as load:
        saboteur = Saboteur(valkey, load, books, choice)
        await saboteur.prepare(0.5, 0.5)
        for kind in kinds:
            await saboteur.strike(kind)
            if faults > 1 and choice.random() < 0.2:
                await asyncio.sleep(choice.uniform(0, 0.5))  # Struck again before anybody has recovered.
                continue
            await load.resume(kind)
            await saboteur.prepare(*pause)
        await load.until(lambda: books.counts["sessions lost by a fault"] > 0)
        await load.finish()
    print(books.report())
    assert books.violations == []
    assert books.counts[FLUSH] == books.counts[SET_BACK] == faults
    assert books.counts["revived sessions"] > 0
    assert books.counts["sessions lost by a fault"] > 0
    assert max(books.accepted_after, default=0) <= BOUND_SECONDS
    assert max(seconds for each in books.resumed_after.values() for seconds in each) <= RESUME_SECONDS


@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.experiment)])
async def test_a_server_that_had_not_heard_of_a_rule_obeys_it_once_redis_is_back(prepared, valkey, connect, rounds):
    """I2: the worst moment. One server ends a session, the other sleeps; when it wakes, Redis is away, and then back without
    that end. Whatever it issues until it has compared the heads is born revoked."""
    await valkey.start()
    issuer, ports = prepared.environment["IDENTITY_ISSUER"], free_ports(2)
    _, sleeper = await asyncio.gather(*(asyncio.to_thread(prepared.serve_long, port) for port in ports))
    one, other = (connect(f"http://127.0.0.1:{port}") for port in ports)
    accepted: list[float] = []
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choice = random.Random(seed)
    async with (
        Balancer(prepared.port, [f"http://127.0.0.1:{ports[0]}"]),
        Verifier(issuer, ORDERS, credential=ANONYMOUS) as verifier,
    ):
        for _ in range(rounds):
            await log_in_at(other)
            tokens = await log_in_at(one)
            await verifier.verify(tokens["access_token"])
            revoking = one.form("/revoke", client_id="web", token=tokens["refresh_token"])
            back_at = await unheard(revoking, sleeper, valkey, choice.uniform(0, LONGEST_UNHEARD_SECONDS))
            issued = await shown_for_a_while(other, tokens["refresh_token"], back_at)
            accepted += [moment - back_at for moment, _ in issued]
            for token in (tokens["access_token"], *(each for _, each in issued)):
                await until_revoked(verifier, token)
    print(f"{rounds} rounds; 200s for the revoked refresh token, after Redis's return: {spread(accepted)}")
    assert max(accepted, default=0) <= BOUND_SECONDS


async def unheard(revoking, sleeper: subprocess.Popen[str], valkey: OwnValkey, seconds: float) -> float:
    """Has a session ended while one server sleeps, and Redis away for so long; returns when it was back without that end."""
    snapshot = await valkey.take_snapshot()
    sleeper.send_signal(signal.SIGSTOP)
    try:
        assert (await revoking).status == 200
        valkey.kill()
    finally:
        sleeper.send_signal(signal.SIGCONT)
    await valkey.put_back(snapshot)
    valkey.forget(snapshot)
    await asyncio.sleep(seconds)
    return await valkey.start()


async def log_in_at(wire: Wire) -> dict[str, str]:
    """Logs in as soon as the server issues."""
    async with asyncio.timeout(RESUME_SECONDS):
        while (answer := await answered(log_in(wire))) is None or answer.status != 200:
            await asyncio.sleep(0.02)
    return answer.json()


async def shown_for_a_while(wire: Wire, refresh_token: str, back_at: float) -> list[tuple[float, str]]:
    """When a server accepted the token, and what it issued for it: until well after the bound."""
    found = []
    while time.monotonic() < back_at + 1.5 * BOUND_SECONDS:
        answer = await refreshed(wire, refresh_token)
        if answer is not None and answer.status == 200:
            found.append((time.monotonic(), answer.json()["access_token"]))
        else:
            assert answer is None or answer.status in (400, 503), answer.body
    return found


async def until_revoked(verifier: Verifier, token: str) -> None:
    async with asyncio.timeout(RESUME_SECONDS):
        while not await is_revoked(verifier, token):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    prepared: Production, valkey: OwnValkey, connect, books: Books, choice: random.Random
) -> AsyncIterator[Load]:
    """Two replicas behind a balancer, verifiers, and the load on all of them."""
    await valkey.start()
    ports = free_ports(2)
    issuer, addresses = prepared.environment["IDENTITY_ISSUER"], [f"http://127.0.0.1:{port}" for port in ports]
    await asyncio.gather(*(asyncio.to_thread(prepared.serve_long, port) for port in ports))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Balancer(prepared.port, addresses))
        verifiers = [
            await stack.enter_async_context(Verifier(issuer, ORDERS, credential=ANONYMOUS)) for _ in range(VERIFIERS)
        ]
        load = Load(connect, addresses, verifiers, books, choice, RETRY_WINDOW)
        await stack.enter_async_context(load)
        yield load
