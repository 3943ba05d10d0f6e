"""F01, F02 and I7: Redis, SQL or both go away under load, in every order, and come back as they were, empty, or older. Nothing
ended is good again, and no state is left that needs an operator."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from crowd import Crowd, Mix
from engines import SqlServer
from history import Fault, History, Kind, Outcome
from invariants import Promises
from laboratory import Installation, installation
from own_valkey import Snapshot
from served import is_served

from identity.administration.doctor.examination import examine
from identity.administration.doctor.findings import Finding, Verdict
from identity.cli.doctor import patient_of
from identity.verifier.profile import FEED_MAX_WAIT

WINDOW = 2.0
PROMISES = Promises(window=WINDOW)
CLOSED = frozenset({Kind.LOGIN, Kind.REFRESH, Kind.END, Kind.INTROSPECT})
RED_SECONDS = 2.0
LOOK_SECONDS = 0.05
SLACK_SECONDS = 0.5
"""What a look takes on a busy machine."""

SQL_DOWN, SQL_UP, REDIS_DOWN, REDIS_UP = "SQL-", "SQL+", "Redis-", "Redis+"
ORDERS = (
    (SQL_DOWN, REDIS_DOWN, SQL_UP, REDIS_UP),
    (SQL_DOWN, REDIS_DOWN, REDIS_UP, SQL_UP),
    (REDIS_DOWN, SQL_DOWN, SQL_UP, REDIS_UP),
    (REDIS_DOWN, SQL_DOWN, REDIS_UP, SQL_UP),
    (SQL_DOWN, SQL_UP, REDIS_DOWN, REDIS_UP),
    (REDIS_DOWN, REDIS_UP, SQL_DOWN, SQL_UP),
)
AS_IT_WAS, EMPTY, OLDER = "as it was", "empty", "older"


@dataclass
class Watch:
    """When each replica said that it is ready, or is not: (moment, whether), in order."""

    seen: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)

    def red_after(self, moment: float) -> float:
        """Seconds until the last replica had said that it is not ready."""
        return max(self._first(url, moment, ready=False) for url in self.seen) - moment

    def green_after(self, moment: float) -> float:
        """Seconds until every replica was ready, and stayed so."""
        last_red = [[at for at, ready in looks if not ready] for looks in self.seen.values()]
        return max((at for each in last_red for at in each[-1:]), default=moment) - moment

    def _first(self, url: str, moment: float, ready: bool) -> float:
        return next((at for at, was in self.seen[url] if at > moment and was is ready), float("inf"))


@asynccontextmanager
async def watching(lab: Installation) -> AsyncIterator[Watch]:
    """Looks at the readiness of every replica all the time."""
    watch = Watch({each.url: [] for each in lab.replicas})

    async def look() -> None:
        while True:
            for each in lab.replicas:
                ready = await each.is_ready()
                watch.seen[each.url].append((time.monotonic(), ready))
            await asyncio.sleep(LOOK_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield watch
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


@dataclass
class Hands:
    """What takes stores away and brings them back; `how` Redis comes back, and from which snapshot."""

    lab: Installation
    how: str
    snapshot: Snapshot | None = None

    async def do(self, step: str) -> None:
        sql, url = SqlServer("postgresql", self.lab.folder), self.lab.settings.database_url.get_secret_value()
        if step == SQL_DOWN:
            await asyncio.to_thread(sql.take_away, url)
        elif step == SQL_UP:
            await asyncio.to_thread(sql.bring_back, url)
        elif step == REDIS_DOWN:
            self.lab.valkey.kill()
        else:
            if self.how == EMPTY:
                self.lab.valkey.lose()
            elif self.how == OLDER:
                assert self.snapshot is not None
                await self.lab.valkey.put_back(self.snapshot)
            await self.lab.valkey.start()


async def one_round(
    lab: Installation, found: History, choice: random.Random, steps: tuple[str, ...], how: str, pauses: list[float]
) -> str:
    """Breaks and mends; returns what readiness did."""
    hands = Hands(lab, how)
    servers, verifiers = [each.url for each in lab.replicas], await lab.verifiers(2)
    mix = Mix(end=0.1, pause=0.02, patience=10.0)
    async with (
        watching(lab) as watch,
        Crowd(found, servers, verifiers, choice, mix=mix, window=WINDOW, credential=lab.credential) as crowd,
    ):
        await crowd.until(lambda: len(crowd.ended) >= 3)
        hands.snapshot, taken_at = await lab.valkey.take_snapshot(), time.monotonic()
        ended = len(crowd.ended)
        await crowd.until(lambda: len(crowd.ended) >= ended + 3)
        began = time.monotonic()
        for step, pause in zip(steps, [*pauses, 0.0], strict=True):
            await hands.do(step)
            await asyncio.sleep(pause)
        back_at = time.monotonic()
        forgets = {AS_IT_WAS: None, EMPTY: 0.0, OLDER: taken_at}[how]
        closes = CLOSED if (steps[0].endswith("-") and steps[1].endswith("-")) or len(steps) == 2 else frozenset()
        found.faults.append(Fault(f"{' '.join(steps)} {how}", began, back_at, forgets=forgets, closes=closes))
        await crowd.until(lambda: all(is_served(found, server, back_at) for server in servers))
        await crowd.finish()
        red, green = watch.red_after(began), watch.green_after(back_at)
    if sum(pauses[: len(steps) // 2]) > RED_SECONDS + SLACK_SECONDS:
        assert red <= RED_SECONDS + SLACK_SECONDS
    assert green <= PROMISES.recovery
    return f"{' '.join(steps)}, Redis {how}: not ready after {red:.1f} s, ready {green:.1f} s after the return"


async def left_for_an_operator(lab: Installation) -> list[Finding]:
    """What the doctor finds that is not as it was before: that the keys are not encrypted is no news."""
    told = {"keys.encrypted", "sessions.lost_writes", "disks"}
    deadline = time.monotonic() + FEED_MAX_WAIT
    while True:  # What verifiers had reported was set back with Redis: each reports again when its poll ends.
        findings = await examine(patient_of(lab.settings, lab.stores, "an experiment"))
        left = [each for each in findings if each.verdict is not Verdict.GOOD and each.check not in told]
        if not left or time.monotonic() > deadline:
            return left


async def run(
    tmp_path, made_keys, choice: random.Random, steps: tuple[str, ...], how: str, pauses: list[float]
) -> tuple[History, str]:
    """One installation, one round."""
    found = History()
    folder = tmp_path / f"{time.monotonic_ns()}"
    folder.mkdir()
    settings = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
    async with installation(folder, made_keys, settings=settings) as lab:
        note = await one_round(lab, found, choice, steps, how, pauses)
        assert await left_for_an_operator(lab) == []
    return found, note


async def test_redis_killed_and_empty_after_a_while(experiment, tmp_path, made_keys, choice):
    """F01, I1-I7: sessions are over, what was revoked stays revoked, red within 2 s and green within 10 s."""
    f01 = experiment("F01", "Redis killed, 20 s down, empty")
    for _ in range(f01.rounds(short=1, long=10)):
        down = 20.0 if f01.is_long else 3.0
        found, note = await run(tmp_path, made_keys, choice, (REDIS_DOWN, REDIS_UP), EMPTY, [down])
        assert accepted_after_their_end(found) == []
        assert not f01.report(found, 1, PROMISES, note)


async def test_redis_back_from_an_older_copy(experiment, tmp_path, made_keys, choice):
    """F02, I2: nothing that ended after the copy was made comes back; its last command may be cut in the middle."""
    f02 = experiment("F02", "Redis restarted from an older copy")
    for _ in range(f02.rounds(short=1, long=20)):
        down = choice.uniform(0.0, 4.0) if f02.is_long else 0.5
        found, note = await run(tmp_path, made_keys, choice, (REDIS_DOWN, REDIS_UP), OLDER, [down])
        assert not f02.report(found, 1, PROMISES, note)


async def test_both_stores_away_in_every_order(experiment, tmp_path, made_keys, choice):
    """I7, I2, I5: 1 to 20 s each, Redis back as it was, empty or older. Nobody has to do anything."""
    both = experiment("I7", "SQL and Redis away, in every order")
    for number in range(both.rounds(short=1, long=24)):
        steps = ORDERS[number % len(ORDERS)] if both.is_long else choice.choice(ORDERS)
        how = choice.choice((AS_IT_WAS, EMPTY, OLDER))
        longest = 12.0 if both.is_long else 1.0
        pauses = [choice.uniform(longest / 12, longest) for _ in range(3)]
        found, note = await run(tmp_path, made_keys, choice, steps, how, pauses)
        assert not both.report(found, 1, PROMISES, note)


def accepted_after_their_end(found: History) -> list[str]:
    """Sessions whose end was acknowledged before the fault and that were served by an issuer after it: stricter than what a
    Redis that comes back older is allowed."""
    (fault,) = found.faults
    over = {each.session for each in found.of(Kind.END, outcome=Outcome.OK) if each.ended <= fault.began}
    served = found.of(Kind.REFRESH, Kind.INTROSPECT, outcome=Outcome.OK)
    return [each.session for each in served if each.session in over and each.began >= fault.ended]
