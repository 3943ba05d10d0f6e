"""F03: behind Sentinel the primary is killed, and another time only asleep; a replica takes its place, and it comes back."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from crowd import Crowd, Mix
from engines import scratch
from history import Fault, History, Kind, Outcome
from invariants import Promises, unavailable_seconds
from laboratory import Installation, installation
from several_valkeys import Sentinels, Server

WINDOW = 2.0
UNAVAILABLE_SECONDS = 15.0
PROMISES = Promises(window=WINDOW)
LAG_SECONDS = 1.5
"""What a replica may be behind."""
NAMING_SECONDS = 1.0
"""How long after a replica was promoted the sentinels name it."""
NOTICED_SECONDS = 1.5
"""What a server may take to hear that there is another primary."""
SLEEP_SECONDS = 10.0


@pytest.fixture
async def sentinels() -> AsyncIterator[Sentinels]:
    made = Sentinels(Path(tempfile.mkdtemp(prefix="f03-", dir=scratch())), replicas=2)
    made.start()
    yield made
    made.stop()


async def test_a_replica_that_takes_over_undoes_no_end_and_forks_no_session(
    experiment, sentinels, tmp_path, made_keys, choice
):
    """F03, I1, I2, I4, I7: nobody can tell the new primary from the old one, but by a pause of at most 15 s."""
    f03 = experiment("F03", "Sentinel: primary killed, then asleep")
    rounds = f03.rounds(short=1, long=50, at_once=20)
    settings = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
    async with installation(tmp_path, made_keys, redis_url=sentinels.url, settings=settings) as lab:
        verifiers = await lab.verifiers(2)
        for _ in range(rounds):
            found = History()
            await one_round(f03.is_long, sentinels, lab, verifiers, found, choice)
            assert not f03.report(found, 1, PROMISES)
            assert unavailable_seconds(found) <= UNAVAILABLE_SECONDS


async def one_round(is_long: bool, sentinels: Sentinels, lab: Installation, verifiers, found: History, choice) -> None:
    servers = [each.url for each in lab.replicas]
    mix = Mix(end=0.1, pause=0.02)
    async with Crowd(found, servers, verifiers, choice, mix=mix, window=WINDOW, credential=lab.credential) as crowd:
        await crowd.until(lambda: found.count(Kind.END, outcome=Outcome.OK) > 5)
        await whole(sentinels, sentinels.primary(), found)
        await asyncio.sleep(choice.uniform(0, 0.3))
        killed = sentinels.primary()
        began = time.monotonic()
        killed.kill()
        named = await replaced("primary killed", killed, began, sentinels, crowd, found)
        killed.start()  # As a primary that knows nothing of the other one, until the sentinels tell it.
        if is_long:
            await whole(sentinels, named, found)
            asleep = sentinels.primary()
            began = time.monotonic()
            sleeping = asyncio.create_task(asyncio.to_thread(asleep.say, "DEBUG", "SLEEP", SLEEP_SECONDS))
            named = await replaced("primary asleep", asleep, began, sentinels, crowd, found)
            await whole(sentinels, named, found)
            await asyncio.gather(sleeping, return_exceptions=True)
        await crowd.finish()


async def replaced(name: str, old: Server, began: float, sentinels: Sentinels, crowd: Crowd, found: History) -> Server:
    """Returns whom the sentinels named instead, when sessions go on and end there."""
    async with asyncio.timeout(UNAVAILABLE_SECONDS):
        while (named := await asyncio.to_thread(sentinels.primary)) is old:
            await asyncio.sleep(0.02)
    ended = time.monotonic()
    found.faults.append(Fault(name, began, ended, forgets=began - LAG_SECONDS))
    for kind in (Kind.REFRESH, Kind.END):
        before = found.count(kind, outcome=Outcome.OK)
        await crowd.until(lambda kind=kind, before=before: found.count(kind, outcome=Outcome.OK) > before + 5)
    return named


async def whole(sentinels: Sentinels, named: Server, found: History) -> None:
    """Returns when all others repeat what the primary does, the old primary too.

    Two sentinels may have been elected for the same fault, one after the other. What the first of the two new primaries is told
    after the second was chosen is lost, until the servers have heard of that."""
    becoming = asyncio.create_task(asyncio.to_thread(sentinels.become_whole))
    while not becoming.done():
        await asyncio.sleep(0.02)
        if (other := await asyncio.to_thread(sentinels.primary)) is not named:
            named, chosen = other, time.monotonic() - NAMING_SECONDS
            forgets, heard = chosen - LAG_SECONDS, chosen + NAMING_SECONDS + NOTICED_SECONDS
            found.faults.append(Fault("another failover", chosen, heard, forgets=forgets))
    await becoming
