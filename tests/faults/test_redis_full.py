"""F06: Redis has no memory left, and evicts nothing."""

from __future__ import annotations

import asyncio
import random
import time

from crowd import Asker, Crowd, Mix
from history import Fault, History, Kind, Outcome
from invariants import Promises
from laboratory import Installation, installation
from redis import Redis

WINDOW = 2.0
FULL_SECONDS = 3.0


async def test_a_redis_that_is_full_refuses_writes_and_half_does_none(experiment, tmp_path, made_keys, choice):
    """F06, I1, I4, I5, I6, I7: a refresh happens or does not, what needs no write goes on, and memory is all it takes."""
    f06 = experiment("F06", "Redis is full")
    rounds, found = f06.rounds(short=1, long=20, at_once=10), History()
    settings = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
    async with installation(tmp_path, made_keys, settings=settings) as lab:
        servers, verifiers = [each.url for each in lab.replicas], await lab.verifiers(2)
        mix = Mix(end=0.02, pause=0.01)
        async with Crowd(found, servers, verifiers, choice, mix=mix, window=WINDOW, credential=lab.credential) as crowd:
            for _ in range(rounds):
                await refreshes(20, crowd, found)
                await fill(lab, crowd, found, choice)
                await refreshes(10, crowd, found)
            await crowd.finish()
    assert not f06.report(found, rounds, Promises(window=WINDOW))


async def refreshes(count: int, crowd: Crowd, found: History) -> None:
    """Returns when so many more have succeeded."""
    before = found.count(Kind.REFRESH, outcome=Outcome.OK)
    await crowd.until(lambda: found.count(Kind.REFRESH, outcome=Outcome.OK) > before + count)


async def fill(lab: Installation, crowd: Crowd, found: History, choice: random.Random) -> None:
    """Leaves no memory for a while, in which somebody asks about sessions."""
    began, before, asker = time.monotonic(), len(found.operations), Asker(found, choice)
    with Redis(unix_socket_path=str(lab.valkey.socket)) as redis:
        redis.config_set("maxmemory", 1)
        try:
            while time.monotonic() < began + FULL_SECONDS:
                held = choice.choice([each for mine in crowd.held for each in mine if not each.is_lost])
                await asker.introspect(choice.choice(lab.replicas).url, held.name, held.access, lab.credential)
                await asyncio.sleep(0.1)
        finally:
            redis.config_set("maxmemory", 0)
    await asker.close()
    closes = frozenset({Kind.LOGIN, Kind.REFRESH})
    found.faults.append(Fault("Redis full", began, time.monotonic(), closes=closes))
    meanwhile = History(found.operations[before:])
    assert meanwhile.count(Kind.REFRESH, outcome=Outcome.UNAVAILABLE)
    assert meanwhile.count(Kind.INTROSPECT, outcome=Outcome.OK)
