"""F05: what leads to Redis is slow, loses bytes, or has gone silent, and Redis itself stands still."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from crowd import Crowd, Mix
from cut_line import lines
from dev_process import free_ports
from engines import scratch
from history import Fault, History, Kind, Outcome
from invariants import Promises, percentile
from laboratory import installation
from orders import Program
from own_valkey import OwnValkey
from redis import Redis

WINDOW = 10.0
ASLEEP = "asleep"
SHORT = (("slow 0.025 0.05", 2.5), ("slow 1.5 0", 3.0))
LONG = (("slow 0.025 0.05", 5.0), ("slow 0.25 0", 5.0), ("slow 1.5 0", 5.0), ("silent", 5.0), (ASLEEP, 5.0))
CLOSING = ("slow 1.5 0", "silent", ASLEEP)
"""Nothing comes back in the second that a command may take."""
NOTICED_SECONDS = 1.5
AT_ONCE_SECONDS = 0.5
"""Half a timeout: on a machine that has other things to do as well."""
CONNECTIONS_OF_A_PROCESS = 2
PROMISES = Promises(window=WINDOW)
PATIENT = Mix(end=0.02, verify=1.0, pause=0.01, patience=PROMISES.patience)


@pytest.fixture
async def valkey() -> AsyncIterator[OwnValkey]:
    made = OwnValkey(Path(tempfile.mkdtemp(prefix="f05-", dir=scratch())))
    await made.start()
    yield made
    made.kill()
    shutil.rmtree(made.folder, ignore_errors=True)


async def test_a_slow_redis_holds_nobody_up_for_long(experiment, valkey, tmp_path, made_keys, choice):
    """F05, I4, I5, I6, I7: after a second of silence requests fail at once, services verify as ever, connections are few."""
    f05 = experiment("F05", "Redis slow, lossy, silent, stopped")
    rounds, found = f05.rounds(short=1, long=10, at_once=2), History()
    (port,) = free_ports(1)
    settings = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
    async with lines(redis=(port, str(valkey.socket))) as line:
        where = f"redis://127.0.0.1:{port}"
        async with installation(tmp_path, made_keys, redis_url=where, settings=settings) as lab:
            servers, verifiers = [each.url for each in lab.replicas], await lab.verifiers(2)
            mix = Mix(end=0.02, verify=1.0, pause=0.01, patience=Promises().patience)
            async with Crowd(
                found, servers, verifiers, choice, mix=mix, window=WINDOW, credential=lab.credential
            ) as crowd:
                await crowd.until(lambda: found.count(Kind.REFRESH, outcome=Outcome.OK) > 30)
                well = percentile(found, 0.99, Kind.VERIFY)
                for stage, seconds in (LONG if f05.is_long else SHORT) * rounds:
                    most = await suffer(stage, seconds, line, valkey, crowd, found)
                    assert most <= CONNECTIONS_OF_A_PROCESS * (len(lab.replicas) + 1)
                await crowd.finish()
    during = History(
        [each for each in found.operations if any(f.overlaps(each.began, each.ended) for f in found.faults)]
    )
    ill = percentile(during, 0.99, Kind.VERIFY)
    note = f"p99 of local verification {well * 1000:.2f} ms before, {ill * 1000:.2f} ms meanwhile"
    assert not f05.report(found, rounds, PROMISES, note)
    assert ill < max(3 * well, 0.1), note  # Whoever waited for Redis would wait for a second.


async def suffer(stage: str, seconds: float, line: Program, valkey: OwnValkey, crowd: Crowd, found: History) -> int:
    """Returns how many connections Redis had at most; and only when sessions go on."""
    began, most = time.monotonic(), 0
    await disturb(stage, line, valkey)
    try:
        while time.monotonic() < began + seconds:
            await asyncio.sleep(0.1)
            if stage != ASLEEP:
                with Redis(unix_socket_path=str(valkey.socket)) as redis:
                    most = max(most, len(redis.client_list()) - 1)
    finally:
        await line.order(redis="pass")
        valkey.send(signal.SIGCONT)
    is_closed = stage in CLOSING
    closes = frozenset({Kind.LOGIN, Kind.REFRESH}) if is_closed else frozenset()
    fault = Fault(f"Redis {stage}", began, time.monotonic(), closes=closes)
    found.faults.append(fault)
    if is_closed:
        waited = sorted(
            each.ended - each.began
            for each in found.of(Kind.LOGIN, Kind.REFRESH, outcome=Outcome.UNAVAILABLE)
            if each.began > began + NOTICED_SECONDS and each.ended < fault.ended
        )
        assert waited, "nobody asked"
        assert waited[len(waited) * 9 // 10] < AT_ONCE_SECONDS
    else:
        assert any(began + 0.5 < each.ended < fault.ended for each in found.of(Kind.REFRESH, outcome=Outcome.OK))
    refreshed = found.count(Kind.REFRESH, outcome=Outcome.OK)
    await crowd.until(lambda: found.count(Kind.REFRESH, outcome=Outcome.OK) > refreshed + 10)
    return most


async def disturb(stage: str, line: Program, valkey: OwnValkey) -> None:
    if stage == ASLEEP:
        valkey.send(signal.SIGSTOP)
    else:
        await line.order(redis=stage)
