"""Must show 5: stores stay bounded over a month, and the end of a session costs the same whatever its age."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dev_process import wait_until
from engines import SqlServer, scratch
from redis import Redis
from sqlalchemy import event
from tally import Experiment

from identity.models import AuditEvent
from identity.oauth.grants.sessions import Sessions
from identity.settings import load_settings
from identity.store.embedded import find_server_binary
from identity.tokens.refresh_token import Family, Generation, Step
from identity.wiring.parts import Stores

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("libfaketime.so.1"))
CAPPED = {"{feed}:head", "{feed}:issuer", "{feed}:rules", "{servers}", "{verifiers}", "{verifiers}:said"}
"""Keys without an end, and why they stay small: two fields; 100,000 rules; those who were heard of lately, 10,000 at most."""

MakeExperiment = Callable[[str, str], Experiment]
DAY = 86_400


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str], str]]:
    """A clock in a file, the environment of who reads it, and the URL of a Valkey that does."""
    clock = tmp_path / "clock"
    clock.write_text("@2027-01-01 00:00:00\n")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    folder = Path(tempfile.mkdtemp(prefix="month-", dir=scratch()))
    socket = folder / "valkey.sock"
    argv = [str(find_server_binary()), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, env={**os.environ, **faked}, stdout=log)
    try:
        wait_until(socket.exists, 10)
        yield clock, faked, f"unix://{socket}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("sql", ["sqlite", "postgresql"])
async def test_a_month_leaves_nothing_behind_that_grows(
    experiment: MakeExperiment, tmp_path: Path, clocked: tuple[Path, dict[str, str], str], sql: str
) -> None:
    """I6, must show 5: a session lives 2 days at rest and 5 at most here, and history is kept for 6, so that a month sees
    the end of everything several times; every key of Redis has an end or a cap, and nothing is removed too early."""
    clock, faked, redis_url = clocked
    days = 40 if experiment("month", "").is_long else 12
    settings = {
        "IDENTITY_ISSUER": "https://login.example",
        "IDENTITY_DATABASE_URL": SqlServer(sql, tmp_path).url().replace("+psycopg", "").replace("+aiosqlite", ""),
        "IDENTITY_REDIS_URL": redis_url,
        "IDENTITY_REFRESH_IDLE_LIFETIME": str(2 * DAY),
        "IDENTITY_REFRESH_ABSOLUTE_LIFETIME": str(5 * DAY),
        "IDENTITY_HISTORY_RETENTION": str(6 * DAY),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_")}
    argv = [sys.executable, str(Path(__file__).parent / "month.py"), str(clock), str(days)]
    ran = await asyncio.to_thread(
        subprocess.run, argv, env={**inherited, **faked, **settings}, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    *counts, keys = (json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{"))
    print(f"\n{sql}, day 1: {counts[0]}\n  day {days // 2}: {counts[days // 2]}\n  day {days}: {counts[-1]}")
    full = counts[
        9:-1
    ]  # A session, a log of logins and a count of tokens have all begun to end; counts live for a week.
    for what, number in counts[-1].items():
        assert number <= 1.1 * max(day[what] for day in full), what
    assert {key for key, left in keys.items() if left < 0} <= CAPPED
    assert max(keys.values()) <= 30 * DAY, "an address that is known to an account"
    print(f"  {len(keys)} keys of Redis; without an end: {sorted(key for key, left in keys.items() if left < 0)}")


GENERATIONS = 100_000
ENDS = 40


async def test_the_end_of_a_session_costs_the_same_in_its_first_and_in_its_100000th_generation(
    experiment: MakeExperiment, tmp_path: Path, clocked: tuple[Path, dict[str, str], str]
) -> None:
    """A45, must show 5: the same statements, the same commands, a record of the same size (but for the digits of a number)."""
    is_long = experiment("ends", "").is_long
    redis_url, now = clocked[2], int(time.time())
    url = (await SqlServer("postgresql", tmp_path).migrated_url()).replace("+psycopg", "")
    settings = {
        "IDENTITY_ISSUER": "https://login.example",
        "IDENTITY_DATABASE_URL": url,
        "IDENTITY_REDIS_URL": redis_url,
        # Valkey's clock stands at 2027, and sessions are to end after that.
        "IDENTITY_REFRESH_IDLE_LIFETIME": str(900 * DAY),
        "IDENTITY_REFRESH_ABSOLUTE_LIFETIME": str(1000 * DAY),
    }
    stores = Stores.of(load_settings(settings))
    sessions, valkey = Sessions(stores.ledger, stores.families), Redis.from_url(redis_url)
    await stores.ledger.catch_up()
    statements: list[str] = []
    event.listen(
        stores.database.engine.sync_engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
    )
    costs: dict[int, tuple[float, int, int, int]] = {}
    for generation in (1, GENERATIONS):
        seconds, used, commands, size = [], 0, 0, 0
        for number in range(ENDS):
            family = Family(f"g{generation}-{number}", "a1", "web", (), "a", now, ("pwd",), 0, now + 1000 * DAY)
            await stores.families.begin(family, "key")
            if is_long and not number:
                for each in range(generation):
                    assert await stores.families.step(Generation(family.family, each), True, "key") is Step.ADVANCED
            else:
                await stores.families.fast_forward(Generation(family.family, generation - 1), "key")
            size = int(valkey.memory_usage(next(iter(valkey.keys(f"*{family.family}*")))))
            statements.clear()
            before, began = calls(valkey), time.perf_counter()
            await sessions.end(AuditEvent(event="token.revoked", grant_id=family.family))
            seconds.append(time.perf_counter() - began)
            used, commands = len(statements), calls(valkey) - before
            assert not valkey.keys(f"*{family.family}*")
        costs[generation] = (statistics.median(seconds), used, commands, size)
    for generation, (median, used, commands, size) in costs.items():
        print(
            f"generation {generation:,}: {median * 1000:.1f} ms, {used} statements, {commands} commands, {size} bytes"
        )
    first, last = costs.values()
    assert first[1:3] == last[1:3]
    assert last[3] - first[3] <= 16
    await stores.close()
    valkey.close()


def calls(valkey: Redis) -> int:
    """How many commands Valkey has carried out, but those of this question."""
    stats = valkey.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if not name.startswith(("cmdstat_info", "cmdstat_client")))
