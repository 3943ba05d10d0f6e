"""SQL comes back from a backup: what was revoked since is never good again, whatever is left that remembers it (I2, F25)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from installation import Installation, Replica
from sqlalchemy import delete, update
from sqlmodel import select

from identity.feed.follower import Follower
from identity.feed.high_water import HighWater
from identity.feed.rules import Head, Rule
from identity.models import ApiKey, AuditEvent, Client, FeedHead, Resource, RevocationRule, User
from identity.verifier.profile import RuleKind

ALICE, BOB, CAROL = "alice-subject", "bob-subject", "carol-subject"


class Nobody:
    """A memory with nothing in it."""

    def forget(self, digest: bytes) -> None:
        pass

    def forget_everything(self) -> None:
        pass


@asynccontextmanager
async def server_of(replica: Replica, mark: Path) -> AsyncIterator[Follower]:
    """A server process on the stores, from its start to its end."""
    follower = Follower(replica.journal, replica.stream, replica.ledger, Nobody(), HighWater(mark))
    await follower.start()
    running = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        follower.close()
        await asyncio.wait_for(running, 5)


async def restore(replica: Replica, backup: Head) -> None:
    """What a backup made at `backup` leaves of SQL: everybody is enabled, no API key is revoked."""
    async with replica.database.transaction() as session:
        await session.execute(delete(RevocationRule).where(RevocationRule.seq > backup.seq))  # type: ignore[arg-type]
        await session.execute(update(FeedHead).values(epoch=backup.epoch, seq=backup.seq))
        await session.execute(update(ApiKey).values(revoked_at=None))
        await session.execute(delete(AuditEvent))


async def register(replica: Replica) -> None:
    """Three people, two clients, and an API key of each person and of the client that nothing happens to."""
    async with replica.database.transaction() as session:
        session.add(Resource(name="orders", identifier="https://orders.example"))
        for subject in (ALICE, BOB, CAROL):
            session.add(User(subject=subject, username=subject, username_key=subject))
        session.add_all(Client(client_id=name, name=name) for name in ("shop", "other"))
    async with replica.database.transaction() as session:
        owners: list[dict[str, Any]] = [{"subject": each} for each in (ALICE, BOB, CAROL)] + [{"client_id": "other"}]
        for number, owner in enumerate(owners):
            session.add(ApiKey(key_id=f"k{number}", secret_hash="", name="", resource="orders", revision=0, **owner))


async def rows(replica: Replica, query: Any) -> list[Any]:
    async with replica.database.read() as session:
        return list((await session.scalars(query)).all())


async def test_a_redis_that_survived_says_who_must_not_come_back(
    installation: Installation, replica: Replica, tmp_path: Path
) -> None:
    """I2, A48: whom a rule of the lost time ended is disabled; the others and their API keys go on, sessions do not."""
    await replica.ledger.catch_up()
    await register(replica)
    backup = await replica.journal.head()
    await replica.end("k1")
    await replica.revoke(Rule.ending(RuleKind.SUBJECT, ALICE), Rule.ending(RuleKind.CLIENT, "shop"))
    await replica.revoke(Rule.revoking(RuleKind.SUBJECT, CAROL))  # A role was taken: nothing ended.
    reached = (await replica.journal.head()).seq
    await restore(replica, backup)
    async with server_of(installation.replica(), tmp_path / "mark") as follower:
        picture = follower.picture
        assert picture.head.epoch != backup.epoch
        for revision in (backup.seq, reached):
            assert picture.has_ended("session", BOB, "other", revision)
        assert not picture.has_ended("session", BOB, "other", picture.head.seq)
        keys = {key.key_id: key for key in await rows(replica, select(ApiKey))}
        assert {name for name, key in keys.items() if key.revoked_at} == {"k0", "k1"}
        assert not picture.has_ended("k2", CAROL, "other", keys["k2"].revision)
    enabled = await rows(replica, select(User.subject).where(User.is_enabled))
    assert sorted(enabled) == [BOB, CAROL]
    assert await rows(replica, select(Client.client_id).where(Client.is_enabled)) == ["other"]
    told = sorted(event.event for event in await rows(replica, select(AuditEvent)))
    assert told == ["api_key.revoked", "api_key.revoked", "client.disabled", "feed.restored", "user.disabled"]


async def test_a_server_that_starts_on_two_restored_stores_knows_it_by_its_high_water_mark(
    installation: Installation, replica: Replica, tmp_path: Path
) -> None:
    """I2, F25: no process lives that remembers, and Redis is empty; tokens issued since carry numbers above the backup's."""
    await replica.ledger.catch_up()
    backup = await replica.journal.head()
    async with server_of(installation.replica(), tmp_path / "mark") as follower:
        await replica.revoke(*(Rule.revoking(RuleKind.SUBJECT, f"s{number}") for number in range(5)))
        await until_marked(tmp_path / "mark", 5)
        reached = follower.picture.head.seq
    await restore(replica, backup)
    await replica.redis.execute("FLUSHALL")
    async with server_of(installation.replica(), tmp_path / "mark") as follower:
        assert follower.picture.has_ended("g", "s", "c", reached)
        assert follower.picture.head.epoch != backup.epoch
    async with server_of(installation.replica(), tmp_path / "mark") as follower:
        head = follower.picture.head
    assert head == await replica.journal.head()
    assert len(await rows(replica, select(AuditEvent))) == 1  # The second start found nothing amiss.


async def test_an_operator_says_what_no_process_can_see(replica: Replica) -> None:
    """I2, F25: nobody knows how far the numbers had come; what begins is above whatever that was."""
    await replica.ledger.catch_up()
    await replica.end("grant")
    head = await replica.journal.head()
    await replica.ledger.begin_epoch(head, head.seq + 1)
    after = await replica.ledger.catch_up()
    assert after.seq > head.seq + 2**30
    assert await replica.agrees()


async def until_marked(mark: Path, seq: int) -> None:
    deadline = time.monotonic() + 5
    while HighWater(mark).seq < seq:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_a_mark_moves_forward_only(tmp_path: Path) -> None:
    """I2: neither a slower process nor one that read it before takes it back."""
    one, other = HighWater(tmp_path / "mark"), HighWater(tmp_path / "mark")
    one.raise_to(7)
    other.raise_to(5)
    assert (one.seq, other.seq, HighWater(tmp_path / "mark").seq) == (7, 7, 7)
    assert (tmp_path / "mark").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", b"-5"])
def test_a_damaged_mark_says_nothing(tmp_path: Path, content: bytes) -> None:
    """I7: and is put right by the next number."""
    (tmp_path / "mark").write_bytes(content)
    mark = HighWater(tmp_path / "mark")
    assert mark.seq == 0
    mark.raise_to(3)
    assert HighWater(tmp_path / "mark").seq == 3


def test_a_mark_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    """F19: a full or missing disk."""
    mark = HighWater(tmp_path / "missing" / "mark")
    mark.raise_to(3)
    assert mark.seq == 3
    assert not list(tmp_path.iterdir())


async def test_what_is_ended_on_a_restored_database_is_in_force_before_anybody_noticed(
    installation: Installation, replica: Replica, tmp_path: Path
) -> None:
    """I2, F25: it gets a number that a living server has long passed, so its picture, though it reaches that far, lacks it."""
    backup = await replica.journal.head()
    await replica.end("one", "two", "three")
    other = installation.replica()
    follower = Follower(other.journal, other.stream, other.ledger, Nobody(), HighWater(tmp_path / "mark"))
    await follower.start()
    await restore(replica, backup)
    await replica.redis.execute("FLUSHALL")
    await replica.end("four")
    asking = asyncio.create_task(follower.up_to_date())
    await asyncio.wait([asking], timeout=0.2)
    assert not asking.done(), "it does not know yet, and must wait until it does"
    await follower._confirm()
    assert (await asking).has_ended("four", ALICE, "web", 0)
