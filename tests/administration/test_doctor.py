"""`identity doctor`: each thing that can be amiss is named, and put right where a running server would do it (I2, I7)."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from installation import Installation, Replica
from sqlalchemy import text

from identity.administration.doctor.examination import checks, examine, exit_code
from identity.administration.doctor.findings import Finding, Verdict
from identity.administration.doctor.patient import Facts, Patient
from identity.feed.rules import Head, Rule
from identity.feed.stores import StoreUnavailableError
from identity.keyring.folder import KeyFolder
from identity.keyring.making import first_keyring
from identity.models import AuditEvent, FeedHead, User
from identity.oauth.grants.sessions import Sessions
from identity.store.redis.clock import RedisClock
from identity.store.redis.condition import RedisCondition
from identity.store.redis.publications import RedisPublications
from identity.store.redis.verifiers import RedisVerifiers
from identity.store.sql.clock import SqlClock
from identity.store.sql.condition import SqlCondition
from identity.tokens.refresh_token import Family, Generation, Step
from identity.verifier.profile import RuleKind


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    """A folder with encrypted keys; tests that spoil it make their own."""
    folder = KeyFolder(tmp_path_factory.mktemp("doctor") / "keys", b"a passphrase")
    asyncio.run(folder.create(*first_keyring(2048, int(time.time()))))
    return folder


@pytest.fixture
def replica(installation: Installation) -> Replica:
    return installation.replica()


@pytest.fixture
def patient(replica: Replica, keys: KeyFolder) -> Patient:
    """A healthy installation."""
    return Patient(
        facts=Facts(True, True, False, 30 * 86_400, 610, {"keys": keys.path}, 0),
        keys=keys,
        journal=replica.journal,
        stream=replica.stream,
        ledger=replica.ledger,
        sql=SqlCondition(replica.database),
        redis=RedisCondition(replica.redis),
        clocks={"the database": SqlClock(replica.database), "Redis": RedisClock(replica.redis)},
        families=replica.families,
        sessions=Sessions(replica.ledger, replica.families),
        publications=RedisPublications(replica.redis),
        verifiers=RedisVerifiers(replica.redis),
        actor="cli:test",
    )


def with_facts(patient: Patient, **changes: Any) -> Patient:
    return dataclasses.replace(patient, facts=dataclasses.replace(patient.facts, **changes))


async def found_by(check: str, patient: Patient, fix: bool = False) -> tuple[str, str]:
    """Returns verdict and sentence of the one finding of a check."""
    (finding,) = await checks(fix)[check](patient)
    return finding.verdict.value, finding.sentence


async def begin_family(replica: Replica) -> str:
    now = int(time.time())
    family = Family("Ab3_" + secrets.token_urlsafe(16), "s", "c", ("a",), "https://r", now, ("pwd",), 0, now + 86_400)
    await replica.families.begin(family, "k1")
    return family.family


async def record(replica: Replica, *names: str, at: datetime | None = None) -> None:
    async with replica.database.transaction() as session:
        session.add_all(AuditEvent(event=name, at=at or datetime.now(UTC)) for name in names)


async def test_a_healthy_installation_has_no_findings(patient: Patient, replica: Replica) -> None:
    """Exit code 0."""
    await begin_family(replica)
    findings = await examine(patient)
    # The embedded Valkey writes an append-only file; the shared one of the tests is no exception.
    assert [each for each in findings if each.verdict is not Verdict.GOOD] == []
    assert exit_code(findings) == 0
    assert {each.check for each in findings} == set(checks(fix=False))


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 0),
        (["good", "repaired"], 0),
        (["good", "warning"], 1),
        (["problem", "good"], 1),
        (["problem", "unknown", "good"], 2),
    ],
)
def test_the_exit_code_says_whether_something_is_left_to_do(verdicts: list[str], code: int) -> None:
    assert exit_code([Finding("x", Verdict(each), "") for each in verdicts]) == code


async def test_a_check_that_cannot_look_holds_up_none_of_the_others(patient: Patient, replica: Replica) -> None:
    """I7: one store is away, and another thing breaks in a way that nobody foresaw."""

    class Away:
        async def head(self) -> Head:
            raise StoreUnavailableError("Redis", "as the test wants it")

    class Surprising:
        async def servers(self) -> dict[str, dict[str, float]]:
            raise ZeroDivisionError("a secret")

    broken: Any = {"stream": Away(), "publications": Surprising()}
    findings = {each.check: each for each in await examine(dataclasses.replace(patient, **broken))}
    assert findings["feed.head"].verdict is findings["servers.keys"].verdict is Verdict.UNKNOWN
    assert "as the test wants it" in findings["feed.head"].sentence
    assert "a secret" not in findings["servers.keys"].sentence
    assert findings["verifiers.ahead"].verdict is Verdict.GOOD


async def test_keys_that_are_damaged_open_to_others_or_not_encrypted_are_named(
    patient: Patient, tmp_path: Path
) -> None:
    """K05, K08"""
    folder = KeyFolder(tmp_path / "keys")
    keyring, private = first_keyring(2048, int(time.time()))
    await folder.create(keyring, private)
    spoiled = dataclasses.replace(patient, keys=folder)
    assert (await found_by("keys.readable", spoiled))[0] == "good"
    verdict, sentence = await found_by("keys.encrypted", spoiled)
    assert (verdict, keyring.current.kid in sentence) == ("warning", True)
    assert (await found_by("keys.encrypted", with_facts(spoiled, has_passphrase=False)))[0] == "warning"
    assert (await found_by("keys.encrypted", with_facts(spoiled, is_production=False)))[0] == "good"
    folder.path.chmod(0o777)
    assert (await found_by("keys.readable", spoiled))[0] == "problem"
    folder.path.chmod(0o700)
    (folder.path / f"{keyring.next.kid}.pem").write_bytes(b"")
    verdict, sentence = await found_by("keys.readable", spoiled)
    assert (verdict, keyring.next.kid in sentence) == ("problem", True)


@pytest.mark.parametrize(
    ("age", "lifetime", "verdict"),
    [(1, 30, "good"), (30.5, 30, "good"), (31.5, 30, "warning"), (400, 0, "good")],
)
async def test_a_key_that_signs_longer_than_it_should_is_named(
    patient: Patient, tmp_path: Path, age: float, lifetime: int, verdict: str
) -> None:
    """K01: in days; a day of patience belongs to the schedule."""
    folder = KeyFolder(tmp_path / "keys")
    await folder.create(*first_keyring(2048, int(time.time() - age * 86_400)))
    old = with_facts(dataclasses.replace(patient, keys=folder), key_lifetime=lifetime * 86_400)
    assert (await found_by("keys.age", old))[0] == verdict


async def test_a_first_password_that_is_still_set_is_named(patient: Patient, replica: Replica) -> None:
    """U02: while there is nobody, it is needed."""
    waiting = with_facts(patient, keeps_first_password=True)
    assert (await found_by("settings", waiting))[0] == "good"
    async with replica.database.transaction() as session:
        session.add(User(subject="s", username="root", username_key="root", is_demo=True))
    assert (await found_by("settings", waiting))[0] == "warning"
    verdict, sentence = await found_by("database", patient)
    assert (verdict, "root" in sentence) == ("problem", True)
    async with replica.database.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = 'r0001'"))
    verdict, sentence = await found_by("database", patient)
    assert (verdict, "identity migrate" in sentence) == ("problem", True)


@pytest.mark.parametrize(
    ("facts", "verdict", "word"),
    [
        ({}, "good", "inside the process"),
        ({"redis_version": "6.2.1"}, "problem", "too old"),
        ({"redis_version": "7.2.4", "maxmemory_policy": "allkeys-lru", "aof_enabled": "1"}, "problem", "allkeys-lru"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.0", "aof_enabled": "0"}, "warning", "Valkey 9.1.0"),
        ({"redis_version": "7.2.4", "aof_enabled": "1", "connected_slaves": "2"}, "warning", "min-replicas"),
        (
            {"redis_version": "7.2.4", "aof_enabled": "1", "connected_slaves": "2", "min_slaves_good_slaves": "2"},
            "good",
            "replicas: 2",
        ),
    ],
)
async def test_what_redis_says_of_itself_is_judged(
    patient: Patient, facts: dict[str, str], verdict: str, word: str
) -> None:
    """F06, F03"""

    class Condition:
        async def facts(self) -> list[dict[str, str]]:
            return [facts] if facts else []

    found, sentence = await found_by("redis", dataclasses.replace(patient, redis=Condition()))
    assert (found, word in sentence) == (verdict, True)


async def test_a_redis_that_is_behind_is_brought_up(patient: Patient, replica: Replica) -> None:
    """I2, I7: what any server would do, where none runs."""
    await replica.revoke_unpublished(Rule.ending(RuleKind.GRANT, "grant"))
    assert (await found_by("feed.head", patient))[0] == "warning"
    assert not await replica.agrees()
    assert (await found_by("feed.head", patient, fix=True))[0] == "repaired"
    assert await replica.agrees()
    assert (await found_by("feed.head", patient))[0] == "good"


@pytest.mark.parametrize("fix", [False, True])
@pytest.mark.parametrize("who", ["Redis", "the mark"])
async def test_a_database_that_was_restored_is_a_problem_and_the_doctor_ends_nothing(
    patient: Patient, replica: Replica, who: str, fix: bool
) -> None:
    """F25: a look at the wrong Redis must not log everybody out."""
    await replica.end("grant")
    head = await replica.journal.head()
    restored = with_facts(patient, high_water=head.seq if who == "the mark" else 0)
    async with replica.database.transaction() as session:
        (row := await session.get(FeedHead, 1)).seq = 0  # type: ignore[union-attr]
    if who == "the mark":
        await replica.redis.execute("FLUSHALL")
    assert (await found_by("feed.head", restored, fix))[0] == "problem"
    assert row is not None
    assert (await replica.journal.head()) == Head(head.epoch, 0)


async def test_sessions_that_should_be_over_are_ended(patient: Patient, replica: Replica) -> None:
    """A45, I2: Redis came back with one that was ended; and a server died between finding a replay and ending it."""
    revived, replayed, living = [await begin_family(replica) for _ in range(3)]
    await replica.end(revived)
    now = int(time.time())
    await replica.families.begin(
        Family(revived, "s", "c", ("a",), "https://r", now, ("pwd",), 0, now + 86_400), "k1"
    )  # As a backup of Redis would.
    for number in (0, 1, 2, 0):
        step = await replica.families.step(Generation(replayed, number), rotates=True, kid="k1")
    assert step is Step.REPLAYED
    found = await checks(fix=False)["sessions.unfinished"](patient)
    assert [(each.verdict.value, each.sentence.split()[0]) for each in found] == [("warning", "1"), ("warning", "1")]
    assert [each.verdict.value for each in await checks(fix=True)["sessions.unfinished"](patient)] == ["repaired"] * 2
    assert await found_by("sessions.unfinished", patient) == (
        "good",
        "1 sessions in Redis; none that ended is among them.",
    )
    assert await replica.journal.has_ended(replayed)
    assert await replica.families.step(Generation(living, 0), rotates=False, kid="k1") is Step.ADVANCED


async def test_sessions_that_everybody_lost_are_no_findings(patient: Patient, replica: Replica) -> None:
    """I2: a rule about a person or about all names no session; those are refused by their age, and stay until they expire."""
    replayed = await begin_family(replica)
    for number in (0, 1, 2, 0):
        await replica.families.step(Generation(replayed, number), rotates=True, kid="k1")
    await replica.revoke(Rule.ending(RuleKind.EVERYTHING))
    assert (await found_by("sessions.unfinished", patient))[0] == "good"


async def test_writes_that_redis_lost_lately_are_told(patient: Patient, replica: Replica) -> None:
    """I4: the audit trail has seen it."""
    await record(replica, "refresh_token.ahead_of_store", at=datetime.now(UTC) - timedelta(days=2))
    assert (await found_by("sessions.lost_writes", patient))[0] == "good"
    await record(replica, *["refresh_token.ahead_of_store"] * 3)
    verdict, sentence = await found_by("sessions.lost_writes", patient)
    assert (verdict, sentence.split()[0]) == ("warning", "3")


async def test_servers_that_publish_something_else_are_named(patient: Patient) -> None:
    """K07"""
    assert await found_by("servers.keys", patient) == ("good", "No server is running.")
    kids = tuple(record.kid for record in (await patient.keys.read()).published)
    await patient.publications.report(kids, ())
    assert (await found_by("servers.keys", patient))[0] == "good"
    await patient.publications.report(("other", *kids[1:]), ())
    found = await checks(fix=False)["servers.keys"](patient)
    assert [each.verdict.value for each in found] == ["warning", "warning"]


async def test_verifiers_that_are_behind_or_lack_the_next_key_are_named(patient: Patient, replica: Replica) -> None:
    """I2: how far a revocation has come."""
    head = await replica.journal.head()
    assert (await found_by("verifiers.behind", patient))[0] == "good"
    await patient.verifiers.report("orders", "one", head, [(await patient.keys.read()).next.kid])
    assert (await found_by("verifiers.behind", patient))[0] == "good"
    await replica.end("grant")
    verdict, sentence = await found_by("verifiers.behind", patient)
    assert (verdict, "1 rules behind" in sentence) == ("warning", True)
    await patient.verifiers.report("orders", "one", await replica.journal.head(), ["old"])
    assert (await found_by("verifiers.behind", patient))[0] == "good"  # The next key was only just made.
    verdict, sentence = await found_by("verifiers.behind", with_facts(patient, publication_seconds=-1))
    assert (verdict, "next key" in sentence) == ("warning", True)


async def test_a_verifier_that_knows_what_sql_lost_is_a_problem_until_the_restore_is_told(
    patient: Patient, replica: Replica
) -> None:
    """F25: also after it was given a picture that does not say so any more."""
    head = await replica.journal.head()
    await patient.verifiers.report("orders", "one", Head(head.epoch, head.seq + 3), [])
    assert (await found_by("verifiers.ahead", patient))[0] == "problem"
    await patient.verifiers.report("orders", "one", head, [])
    assert (await found_by("verifiers.ahead", patient))[0] == "good"
    await record(replica, "verifier.ahead_of_feed", at=datetime.now(UTC) - timedelta(seconds=5))
    assert (await found_by("verifiers.ahead", patient))[0] == "problem"
    await replica.ledger.begin_epoch(head, head.seq + 1)
    assert (await found_by("verifiers.ahead", patient))[0] == "good"


async def test_clocks_and_disks_are_looked_at(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """F14, F19"""

    class Ahead:
        async def now(self) -> float:
            return time.time() + 60

    clocks: Any = {"the database": Ahead()}
    assert (await found_by("clocks", dataclasses.replace(patient, clocks=clocks)))[0] == "problem"
    for free, verdict in ((2**20, "good"), (10, "warning")):
        disk = os.statvfs_result((4096, 4096, 2**21, free, free, 0, 0, 0, 0, 255))
        monkeypatch.setattr("os.statvfs", lambda _, disk=disk: disk)
        assert (await found_by("disks", patient))[0] == verdict


async def test_nothing_it_says_is_a_secret(patient: Patient, keys: KeyFolder) -> None:
    """A64"""
    said = " ".join(each.sentence for each in await examine(patient))
    assert "PRIVATE" not in said
    assert "a passphrase" not in said
