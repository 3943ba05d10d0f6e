"""F04: a cluster's slots move while everybody is busy; then a primary is killed, and its replica takes its place."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from crowd import Crowd, Mix
from engines import scratch
from history import Fault, History, Kind, Outcome
from invariants import Promises
from laboratory import Installation, installation
from redis.crc import key_slot
from redis.exceptions import RedisError
from several_valkeys import Cluster, Move, Server

WINDOW = 2.0
PROMISES = Promises(window=WINDOW)
LAG_SECONDS = 1.0
FAILOVER_SECONDS = 15.0
MOST_ERRORS = 0.001
FEED = key_slot(b"feed")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster(Path(tempfile.mkdtemp(prefix="f04-", dir=scratch())), replicas=3, node_timeout=1.5)
    made.start()
    yield made
    made.stop()


async def test_slots_move_unnoticed_and_the_loss_of_a_primary_undoes_no_end(
    experiment, cluster, tmp_path, made_keys, choice
):
    """F04, I1, I2, I4, I7: fewer than one request in a thousand fails while slots move, and never for a cross-slot command."""
    f04 = experiment("F04", "Cluster: slots move, then a primary is killed")
    rounds = f04.rounds(short=1, long=20, at_once=4)
    settings = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
    async with installation(tmp_path, made_keys, redis_url=cluster.url, settings=settings) as lab:
        verifiers = await lab.verifiers(2)
        for _ in range(rounds):
            found = History()
            asked, failed = await one_round(100 if f04.is_long else 6, cluster, lab, verifiers, found, choice)
            note = f"{asked:,} requests while slots moved, {failed} failed"
            assert not f04.report(found, 1, PROMISES, note)
            assert failed <= asked * MOST_ERRORS, note
    assert not [each.port for each in cluster.masters() if "CROSSSLOT" in str(each.info("errorstats"))]


async def one_round(
    slots: int, cluster: Cluster, lab: Installation, verifiers, found: History, choice: random.Random
) -> tuple[int, int]:
    """Returns how many requests were answered while slots moved, and how many of them failed."""
    servers = [each.url for each in lab.replicas]
    mix = Mix(end=0.1, pause=0.002)
    async with Crowd(found, servers, verifiers, choice, mix=mix, window=WINDOW, credential=lab.credential) as crowd:
        await crowd.until(lambda: found.count(Kind.END, outcome=Outcome.OK) > 5)
        before = len(found.operations)
        await reshard(slots, cluster, choice)
        meanwhile = [each for each in found.operations[before:] if each.kind is not Kind.VERIFY]
        failed = [each for each in meanwhile if each.outcome not in (Outcome.OK, Outcome.REFUSED)]
        await lose_a_primary(cluster, crowd, found, choice)
        await crowd.finish()
    return len(meanwhile), len(failed)


async def reshard(slots: int, cluster: Cluster, choice: random.Random) -> None:
    """Moves slots that have keys, that of the feed among them, each to another node."""
    masters = await asyncio.to_thread(cluster.masters)
    for slot in [FEED, *await asyncio.to_thread(slots_with_sessions, masters, slots)]:
        (source,) = [each for each in masters if slot in await asyncio.to_thread(cluster.slots_of, each)]
        move = Move(cluster, slot, source, choice.choice([each for each in masters if each is not source]))
        for step in (move.begin, move.carry_all, move.end):
            await asyncio.to_thread(step)
            await asyncio.sleep(choice.uniform(0, 0.05))


def slots_with_sessions(masters: list[Server], count: int) -> list[int]:
    keys = [key for server in masters for key in server.say("KEYS", "f:*")]
    return list(dict.fromkeys(key_slot(key.encode()) for key in keys))[:count]


async def lose_a_primary(cluster: Cluster, crowd: Crowd, found: History, choice: random.Random) -> None:
    """Returns when its replica has taken over, and sessions go on and end."""
    await asyncio.to_thread(cluster.become_whole)
    masters = await asyncio.to_thread(cluster.masters)
    killed = choice.choice(masters)
    began = time.monotonic()
    killed.kill()
    async with asyncio.timeout(FAILOVER_SECONDS):
        while not await asyncio.to_thread(is_whole, cluster, len(masters)):
            await asyncio.sleep(0.02)
    found.faults.append(Fault("primary killed", began, time.monotonic(), forgets=began - LAG_SECONDS))
    for kind in (Kind.REFRESH, Kind.END, Kind.LOGIN):
        before = found.count(kind, outcome=Outcome.OK)
        await crowd.until(lambda kind=kind, before=before: found.count(kind, outcome=Outcome.OK) > before + 5)
    killed.start()  # It hears from the others that it is a replica now.
    await asyncio.to_thread(killed.wait)


def is_whole(cluster: Cluster, count: int) -> bool:
    masters = cluster.masters()
    try:
        return len(masters) == count and all("cluster_state:ok" in each.say("CLUSTER", "INFO") for each in masters)
    except (RedisError, OSError):
        return False
