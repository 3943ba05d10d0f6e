"""A replica that is cut off from its stores, while another one goes on: it may be silent, never wrong.

Two servers on PostgreSQL and Valkey, of which one reaches either store by a line that the test can cut. Rules are written
through the other one all the time, and everything the cut one says is held against the moment at which each was committed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest
from cut_line import lines
from dev_process import free_ports
from engines import postgresql_uri
from fronted import verdict
from production import Production, database_name, log_in
from replica_watch import Pair, Rule, Told, Watch
from wire import Wire

from identity.verifier import Credential, Verifier
from identity.verifier.profile import FEED_MAX_AGE

ORDERS = "https://orders.example"
MAX_STALENESS = 3.0
NOT_READY_SECONDS = 5.0
RECOVERY_SECONDS = 10.0
LATENESS = 1.5
"""Seconds a busy machine may take to hand us an answer that was sent already."""


@pytest.fixture
async def pair(prepared: Production) -> AsyncIterator[Pair]:
    made = prepared.done("resources", "create", "watcher", "https://watcher.example")
    whole, sql, redis = free_ports(3)
    prepared.serve(port=whole)
    uri, valkey = urlsplit(postgresql_uri()), urlsplit(prepared.environment["IDENTITY_REDIS_URL"])
    socket = f"{parse_qs(uri.query)['host'][0]}/.s.PGSQL.5432"
    async with lines(sql=(sql, socket), redis=(redis, valkey.path)) as program:
        prepared.environment |= {
            "IDENTITY_DATABASE_URL": f"postgresql://{uri.username}@127.0.0.1:{sql}/{database_name(prepared)}",
            "IDENTITY_REDIS_URL": f"redis://127.0.0.1:{redis}",
        }
        prepared.serve()
        addresses = (f"http://127.0.0.1:{port}" for port in (prepared.port, whole))
        yield Pair(*addresses, program, Credential("watcher", made["secret"]))


async def end_all(wire: Wire, rules: list[Rule], over: float) -> None:
    """Ends the sessions one after the other, evenly over so many seconds, through the replica that is whole."""
    began = time.monotonic()
    for index, rule in enumerate(rules):
        assert (await wire.form("/revoke", client_id="web", token=rule.refresh_token)).status == 200
        rule.committed_at = time.monotonic()
        await asyncio.sleep(max(0.0, began + over * (index + 1) / len(rules) - time.monotonic()))


async def show_all(verifier: Verifier, rules: list[Rule], good: str, done: asyncio.Event) -> Counter[str]:
    """Shows every token over and over; returns what was said of the one that stays good."""
    verdicts: Counter[str] = Counter()
    while not done.is_set():
        for rule in rules:
            moment = time.monotonic()
            if await verdict(verifier, rule.token) == "accepted":
                rule.last_accepted = moment
        verdicts[await verdict(verifier, good)] += 1
        await asyncio.sleep(0.01)
    return verdicts


BOTH = ("sql", "redis")
CUTS = [(stores, kind) for kind in ("silent", "refused") for stores in (("sql",), ("redis",), BOTH)]


@pytest.mark.parametrize(
    ("stores", "kind", "seconds", "endings"),
    [
        (("sql",), "silent", 4.0, 16),
        (BOTH, "refused", 4.0, 16),
        *(pytest.param(*cut, 20.0, 100, marks=pytest.mark.experiment) for cut in CUTS),
    ],
)
async def test_a_replica_cut_off_from_its_stores_is_silent_and_never_wrong(
    pair: Pair, connect, stores, kind, seconds, endings
):
    """F26, I2, I5, I7, must show 4: unready within 5 s, nothing issued after 2 s, and no answer of its feed as if fresh."""
    whole, spare = connect(pair.whole), int(1.5 * (seconds + RECOVERY_SECONDS))
    good, *logins = [(await log_in(whole)).json() for _ in range(1 + endings + 2 * spare)]
    rules = [Rule(each["access_token"], each["refresh_token"]) for each in logins[:endings]]
    watch = Watch(pair, connect)
    settings = {"credential": pair.credential, "when_stale": "reject", "max_staleness": MAX_STALENESS}
    async with Verifier(pair.cut, ORDERS, **settings) as verifier, asyncio.TaskGroup() as tasks:
        await verifier.verify(good["access_token"])
        watching = tasks.create_task(watch.run(logins[endings:-spare]))
        showing = tasks.create_task(show_all(verifier, rules, good["access_token"], watch.done))
        await end_all(whole, rules[: endings // 4], 1.0)
        await pair.lines.order(**dict.fromkeys(stores, kind))
        cut_at = time.monotonic()
        tasks.create_task(watch.issue_later(cut_at + FEED_MAX_AGE, logins[-spare:]))
        await end_all(whole, rules[endings // 4 :], seconds)
        await pair.lines.order(**dict.fromkeys(stores, "pass"))
        healed_at = time.monotonic()
        await until_recovered(connect(pair.cut), verifier, rules, good["access_token"])
        recovered_in = time.monotonic() - healed_at
        watch.done.set()
        await watching
    print(f"{'+'.join(stores)} {kind} for {seconds} s: recovered in {recovered_in:.2f} s; said of the good token:")
    print(f"  {dict(await showing)}")
    seqs = {rule[2]: rule[0] for rule in (await feed_of(whole, pair))["rules"]}
    judge(watch, rules, seqs, cut_at, healed_at)
    assert recovered_in <= RECOVERY_SECONDS


async def until_recovered(wire: Wire, verifier: Verifier, rules: list[Rule], good: str) -> None:
    """Returns when the replica issues again and its verifier knows every rule."""
    async with asyncio.timeout(60):
        while (await wire.get("/health/ready")).status != 200 or (await log_in(wire)).status != 200:
            await asyncio.sleep(0.05)
        while {await verdict(verifier, rule.token) for rule in rules} != {"InvalidToken revoked"}:
            await asyncio.sleep(0.02)
        while await verdict(verifier, good) != "accepted":
            await asyncio.sleep(0.02)


async def feed_of(wire: Wire, pair: Pair):
    answer = await wire.request("GET", "/revocations", "", {"Authorization": pair.credential.authorization})
    return answer.json()


def is_owed(told: Told, rule: Rule) -> bool:
    """Tells whether the answer had to hold the rule: by its own word, because of when it was asked for, or when it came."""
    oldest_excuse = max(told.sent_at - min(told.age, FEED_MAX_AGE), told.received_at - FEED_MAX_AGE - LATENESS)
    return rule.committed_at < oldest_excuse


def judge(watch: Watch, rules: list[Rule], seqs: dict[str, int], cut_at: float, healed_at: float) -> None:
    """Holds what was said against the moments at which the rules were committed."""
    lies = [(told, rule) for told in watch.told for rule in rules if told.lacks(rule, seqs) and is_owed(told, rule)]
    first_unready = min(
        each.received_at for each in watch.between("ready", cut_at, healed_at) if each.answer.status == 503
    )
    late = max(rule.last_accepted - rule.committed_at for rule in rules)
    counts = {name: dict(Counter(each.answer.status for each in found)) for name, found in watch.answers.items()}
    slowest = {name: round(max(e.received_at - e.sent_at for e in found), 2) for name, found in watch.answers.items()}
    print(f"  {len(rules)} rules, {len(watch.told)} answers of the feed, {len(lies)} as if fresh; oldest")
    print(f"  {max(told.age for told in watch.told):.2f} s; unready after {first_unready - cut_at:.2f} s; accepted for")
    print(f"  {late:.2f} s at most after the commit; answers {counts}, slowest {slowest}")
    assert lies == []
    assert max(told.age for told in watch.told) <= FEED_MAX_AGE + LATENESS
    assert first_unready - cut_at <= NOT_READY_SECONDS
    assert late <= MAX_STALENESS
    assert set(counts["jwks"]) == {200}
    assert set().union(*counts.values()) == {200, 503}
    silent_from = cut_at + FEED_MAX_AGE
    for name in set(watch.answers) - {"jwks"}:
        refused = watch.between(name, silent_from, healed_at)
        assert {each.answer.status for each in refused} <= {503}, name
        assert refused or not name.startswith("late"), "nothing was asked"
        assert all("retry-after" in each.answer.headers for each in refused), name
