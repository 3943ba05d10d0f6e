"""F10 and must show 2: servers die at every step of their work, and at random, with Valkey too."""

from __future__ import annotations

import asyncio
import itertools
import random
import time

from crowd import Crowd, Mix
from failpoints import AFTER, BEFORE, END, REFRESH
from history import Fault, History, Kind, Outcome
from invariants import Promises
from laboratory import Installation, installation
from replicas import Replica

WINDOW = 3.0
SETTINGS = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
PLACES = list(itertools.product(REFRESH, (BEFORE, AFTER))) + list(itertools.product(END, (BEFORE, AFTER)))
BATCH = 2 * len(PLACES)
"""Kills between two reports, so that a long run that is cut off keeps what it has."""


def crowd_of(lab: Installation, found: History, verifiers, choice: random.Random, mix: Mix) -> Crowd:
    servers = [each.url for each in lab.replicas]
    return Crowd(found, servers, verifiers, choice, mix=mix, window=WINDOW, credential=lab.credential, workers=6)


async def test_a_server_that_dies_at_any_step_costs_nobody_a_session(experiment, tmp_path, made_keys, choice):
    """F10, I1, I4: the client asks again and goes on; or the session is over, if that was what it asked for."""
    f10 = experiment("F10", "kill -9 before and after each step of a refresh and of an end")
    kills = f10.rounds(short=len(PLACES) // 2, long=200 * len(PLACES))
    async with installation(tmp_path, made_keys, settings=SETTINGS) as lab:
        verifiers = await lab.verifiers(2)
        while kills > 0:
            found, batch = History(), min(kills, BATCH)
            kills -= batch
            async with crowd_of(lab, found, verifiers, choice, Mix(end=0.2, pause=0.02)) as crowd:
                for place in choice.sample(PLACES * 2, batch):
                    await die_at(place, choice.choice(lab.replicas), crowd, found, choice)
                await crowd.finish()
            assert not f10.report(found, batch, Promises(window=WINDOW))


async def die_at(place: tuple[str, str], server: Replica, crowd: Crowd, found: History, choice: random.Random) -> None:
    """Has a server die at this place of its work, and come back."""
    began = time.monotonic()
    await server.kill()
    await server.start(failpoint=(*place, choice.randint(1, 4)))
    await crowd.until(lambda: not server.is_alive)
    await server.start()
    found.faults.append(Fault(f"killed {place[1]} {place[0]}", began, time.monotonic(), cuts=True))
    known = found.count(Kind.REFRESH, outcome=Outcome.OK)
    await crowd.until(lambda: found.count(Kind.REFRESH, outcome=Outcome.OK) > known + 5)


async def test_servers_and_valkey_that_die_at_random_fork_no_session(experiment, tmp_path, made_keys, choice):
    """Must show 2, I1, I2, I4: no fork, no false logout, and every replay after the window is found out. Valkey writes what it
    acknowledges into its file at once, so a killed one has forgotten nothing."""
    kills = experiment("100,000 refreshes", "kill -9 of servers and Valkey at random")
    refreshes = kills.rounds(short=400, long=100_000)
    async with installation(tmp_path, made_keys, settings=SETTINGS) as lab:
        verifiers = await lab.verifiers(2)
        while refreshes > 0:
            found = History()
            async with crowd_of(lab, found, verifiers, choice, Mix(end=0.02, steal=0.02, verify=0.1)) as crowd:
                while found.count(Kind.REFRESH) < min(refreshes, 5_000):
                    await kill_something(lab, crowd, found, choice)
                await crowd.finish()
            done = found.count(Kind.REFRESH)
            refreshes -= done
            assert not kills.report(found, done, Promises(window=WINDOW), f"{found.count(Kind.REPLAY)} replays")


async def kill_something(lab: Installation, crowd: Crowd, found: History, choice: random.Random) -> None:
    victim = choice.choice(["server", "server", "Valkey"])
    await asyncio.sleep(choice.uniform(0.2, 2.0))
    began = time.monotonic()
    if victim == "Valkey":
        lab.valkey.kill()
        await asyncio.sleep(choice.uniform(0, 1.0))
        await lab.valkey.start()
    else:
        server = choice.choice(lab.replicas)
        await server.kill()
        await server.start()
    found.faults.append(Fault(f"{victim} killed", began, time.monotonic(), cuts=victim == "server"))
