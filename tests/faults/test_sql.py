"""SQL is ended like a power failure, held up, slowed down and filled up, under load: logins and revocations may be 503, in
time; sessions and services go on, nothing is done twice, and everything is well again by itself."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from crowd import Asker, Crowd, Mix
from history import Fault, History, Kind, Outcome
from invariants import Promises
from laboratory import Installation, installation
from sql_faults import Server, Tables
from tally import Experiment
from wire import Wire

WINDOW = 8.0
SETTINGS = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
MIX = Mix(end=0.15, steal=0.0, pause=0.02, patience=8.0)
ENGINES = ["postgresql", "pgbouncer"]
LONGEST_ANSWER = 4.5
"""Seconds until a request has its 503, on a machine that is busy with much else: 2 for a turn, 2 for a statement."""

MakeExperiment = Callable[[str, str], Experiment]


@asynccontextmanager
async def crowd_in(
    folder: Path, keys: Path, sql: str, choice: random.Random, found: History
) -> AsyncIterator[tuple[Installation, Tables, Crowd, str]]:
    """Two replicas whose role may be told how many connections it has, and people who use them."""
    async with installation(folder, keys, sql=sql, settings=SETTINGS, start=False) as lab:
        tables = Tables(lab)
        role = f"r{tables.name}"
        await tables.prepare()
        await tables.do(f"CREATE ROLE {role} LOGIN", f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        await tables.do(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
        changed = {}
        if sql == "postgresql":
            changed = {
                "IDENTITY_DATABASE_URL": lab.environment["IDENTITY_DATABASE_URL"].replace("postgres:", f"{role}:")
            }
        await asyncio.gather(*(each.start(**changed) for each in lab.replicas))
        servers, verifiers = [each.url for each in lab.replicas], await lab.verifiers(2)
        async with Crowd(found, servers, verifiers, choice, mix=MIX, window=WINDOW, credential=lab.credential) as crowd:
            await crowd.until(lambda: len(crowd.ended) > 2)
            yield lab, tables, crowd, role


async def until_well(lab: Installation, crowd: Crowd, found: History, since: float) -> None:
    """Returns when each replica has logged somebody in since then, and somebody was logged out."""

    def is_well() -> bool:
        logins = {each.server for each in found.of(Kind.LOGIN, outcome=Outcome.OK) if each.began > since}
        ends = any(each.began > since for each in found.of(Kind.END, outcome=Outcome.OK))
        return ends and logins >= {each.url for each in lab.replicas}

    await crowd.until(is_well)


def slowest_refusal(found: History) -> float:
    """How long the last to hear of it waited for a 503."""
    return max(
        (each.ended - each.began for each in found.operations if each.outcome is Outcome.UNAVAILABLE), default=0.0
    )


async def what_needs_no_sql(lab: Installation, asker: Asker) -> None:
    """JWKS and metadata are there, and readiness names what is away."""
    for each in lab.replicas:
        assert (await asker.keys(each.url)).outcome is Outcome.OK
        wire = Wire(each.url)
        assert (await wire.get("/.well-known/oauth-authorization-server")).status == 200
        await wire.close()
        async with asyncio.timeout(6):
            while "database" not in reason(await each.readiness()):
                await asyncio.sleep(0.05)


def reason(answer: bytes) -> str:
    """Why a replica is not ready."""
    return json.loads(answer.partition(b"\r\n\r\n")[2] or "{}").get("reason", "")


@pytest.mark.parametrize("sql", ENGINES)
async def test_sql_is_killed_and_started_again(
    experiment: MakeExperiment, tmp_path: Path, made_keys: Path, choice: random.Random, sql: str
) -> None:
    """F08: logins 503, JWKS and metadata 200, services unaffected, the pool recovers within 10 s."""
    name = "F08" if sql == "postgresql" else "F08 PgBouncer"
    f08, found, server = experiment(name, "SQL ended like a power failure"), History(), Server()
    rounds = f08.rounds(short=1, long=20)
    asker = Asker(found, choice)
    async with crowd_in(tmp_path, made_keys, sql, choice, found) as (lab, _, crowd, _role):
        for _ in range(rounds):
            began = time.monotonic()
            await server.kill()
            try:
                await asyncio.sleep(choice.uniform(0.5, 4) if f08.is_long else 1)
                await what_needs_no_sql(lab, asker)
            finally:
                ended = time.monotonic()  # From here on it may be there, though whoever starts it does not know yet.
                await server.start()
            found.faults.append(Fault("SQL killed", began, ended, closes=frozenset({Kind.LOGIN, Kind.END})))
            await until_well(lab, crowd, found, ended)
        await crowd.finish()
    await asker.close()
    slowest = slowest_refusal(found)
    assert not f08.report(found, rounds, Promises(window=WINDOW), f"slowest 503: {slowest:.2f} s")
    assert slowest < LONGEST_ANSWER


@pytest.mark.parametrize("sql", ENGINES)
async def test_sql_is_slow_held_up_deadlocked_or_full(
    experiment: MakeExperiment, tmp_path: Path, made_keys: Path, choice: random.Random, sql: str
) -> None:
    """F09: statements end in time, only what may be repeated is, nothing is issued or ended twice, and whoever needs no SQL
    does not notice."""
    name = "F09" if sql == "postgresql" else "F09 PgBouncer"
    f09, found = experiment(name, "SQL held up, slow, deadlocked, full"), History()
    rounds, seconds = f09.rounds(short=1, long=10), 4.0 if f09.is_long else 2.2
    deadlocks = 0

    async def deadlock() -> None:
        nonlocal deadlocks
        deadlocks += await tables.deadlock(seconds)

    async with crowd_in(tmp_path, made_keys, sql, choice, found) as (lab, tables, crowd, role):
        acts: dict[str, Callable[[], Awaitable[None]]] = {
            "people held": lambda: tables.hold("user_account", seconds),
            "journal held": lambda: tables.hold("revocation_rule", seconds),
            "audit trail slow": lambda: tables.slow_down("audit_event", seconds),
            "deadlocks": deadlock,
        }
        if sql == "postgresql":
            acts["five connections"] = lambda: tables.narrow(role, 5, seconds)
        for _ in range(rounds):
            for what in choice.sample(sorted(acts), len(acts) if f09.is_long else 2):
                began = time.monotonic()
                await acts[what]()
                ended = time.monotonic()
                found.faults.append(Fault(what, began, ended))
                await until_well(lab, crowd, found, ended)
        await crowd.finish()
        twice = await tables.do(
            "SELECT value, count(*) FROM revocation_rule WHERE ends GROUP BY value HAVING count(*) > 1"
        )
        ((rules,),) = await tables.do("SELECT count(*) FROM revocation_rule WHERE ends")
        ends = "('token.revoked', 'refresh_token.replayed')"
        ((events,),) = await tables.do(f"SELECT count(*) FROM audit_event WHERE event IN {ends}")
    slowest = slowest_refusal(found)
    notes = (f"slowest 503: {slowest:.2f} s", f"deadlocks lost: {deadlocks}", refreshed_meanwhile(found))
    assert not f09.report(found, rounds, Promises(window=WINDOW), *notes)
    assert twice == []
    assert rules == events >= len(crowd.ended)
    assert deadlocks or not any(fault.name == "deadlocks" for fault in found.faults)
    assert slowest < LONGEST_ANSWER


def refreshed_meanwhile(found: History) -> str:
    """What became of sessions while tables were held that they do not need."""
    held = [fault for fault in found.faults if fault.name.endswith("held")]
    during = [each for each in found.of(Kind.REFRESH) if any(fault.began < each.began < fault.ended for fault in held)]
    good = [each for each in during if each.outcome is Outcome.OK]
    return f"refreshes while tables were held: {len(good)} of {len(during)}"
