"""Numbers of rules never repeat and never run backwards: a living token carries one as `rev`, and a rule numbered below it
would not revoke it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import fakeredis
import pytest
from sqlalchemy import delete, update

from identity.feed.follower import Follower
from identity.feed.high_water import HighWater
from identity.feed.ledger import Ledger
from identity.feed.rules import Head, NumberedRule, Rule
from identity.models import FeedHead, RevocationRule
from identity.store.redis.connection import RedisConnection, ServerConnection
from identity.store.redis.dialling import dial_in_process
from identity.store.redis.feed import RedisStream
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.store.sql.migration import migrate
from identity.verifier.profile import RuleKind

NOWHERE = Path("/dev/null/high-water")


class Nobody:
    """A memory with nothing in it."""

    def forget(self, digest: bytes) -> None:
        pass

    def forget_everything(self) -> None:
        pass


class Server:
    """The feed of one server process."""

    def __init__(self, database: Database, redis: RedisConnection) -> None:
        self.redis = redis
        self.database, self.journal, self.stream = database, SqlJournal(database), RedisStream(redis)
        self.ledger: Ledger[SqlChange] = Ledger(changes(database, 930, 86_400), self.journal, self.stream)
        self.follower = Follower(self.journal, self.stream, self.ledger, Nobody(), HighWater(NOWHERE))

    async def revoke(self, *names: str) -> None:
        async with self.ledger.change() as change:
            change.revoke(*(Rule.revoking(RuleKind.SUBJECT, name) for name in names))

    async def restore(self, head: Head) -> None:
        """What a backup of SQL made at `head` leaves."""
        async with self.database.transaction() as session:
            await session.execute(delete(RevocationRule).where(RevocationRule.seq > head.seq))  # type: ignore[arg-type]
            await session.execute(update(FeedHead).values(epoch=head.epoch, seq=head.seq))


class SlowJournal(SqlJournal):
    """A journal whose answer may take its time on the way back."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.read, self.arrives = asyncio.Event(), asyncio.Event()
        self.arrives.set()

    async def live(self) -> AsyncIterator[tuple[Head, list[NumberedRule]]]:
        answer = [each async for each in super().live()]
        self.read.set()
        await self.arrives.wait()
        for each in answer:
            yield each


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[list[Server]]:
    """Two server processes on the same stores, whose followers a test moves by hand."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'feed.sqlite3'}")
    await migrate(database)
    store = fakeredis.FakeServer()
    made = [Server(database, ServerConnection(dial_in_process(store))) for _ in range(2)]
    yield made
    for server in made:
        await server.redis.close()
    await database.close()


async def run_for_one_round(server: Server) -> None:
    """Lets a follower confirm its head once more."""
    asked_at = time.monotonic()
    running = asyncio.create_task(server.follower.run())
    async with asyncio.timeout(8):
        while server.follower.age > time.monotonic() - asked_at:
            await asyncio.sleep(0.01)
    server.follower.close()
    await asyncio.wait_for(running, 5)


async def test_the_process_that_had_come_furthest_decides_where_numbers_go_on(servers: list[Server]) -> None:
    """I2: both stores were set back at once, and the first to notice had not seen the last rules."""
    behind, ahead = servers
    await behind.revoke("one")
    backup = await behind.journal.head()
    await behind.revoke("two", "three")
    await behind.follower.start()
    await ahead.revoke(*(f"later-{number}" for number in range(5)))
    await ahead.follower.start()
    reached = ahead.follower.picture.head.seq
    await ahead.restore(backup)
    await ahead.redis.execute("FLUSHALL")
    await run_for_one_round(behind)
    await run_for_one_round(ahead)
    await ahead.revoke("alice")
    assert (await ahead.journal.head()).seq > reached


async def test_sql_set_back_to_before_an_epoch_began_repeats_no_number(servers: list[Server]) -> None:
    """I2, F25: the backup is from an earlier epoch, so the epochs differ; Redis knows how far the numbers had come."""
    server, other = servers
    await server.revoke("one")
    backup = await server.journal.head()
    await server.ledger.begin_epoch(backup, 40)
    await server.revoke("two", "three")
    reached = (await server.journal.head()).seq
    await server.restore(backup)
    assert (await other.ledger.catch_up()).seq > reached
    await other.revoke("alice")
    assert await other.stream.head() == await other.journal.head()


async def test_a_living_process_remembers_the_numbers_of_an_epoch_both_stores_lost(servers: list[Server]) -> None:
    """I2, F25: the same backup, with Redis empty."""
    server, _ = servers
    await server.revoke("one")
    backup = await server.journal.head()
    await server.ledger.begin_epoch(backup, 40)
    await server.revoke("two", "three")
    await server.follower.start()
    reached = server.follower.picture.head.seq
    await server.restore(backup)
    await server.redis.execute("FLUSHALL")
    await run_for_one_round(server)
    await server.revoke("alice")
    assert (await server.journal.head()).seq > reached


async def test_a_rebuild_that_took_its_time_never_takes_a_rule_back(servers: list[Server]) -> None:
    """I2: what the stream told meanwhile is newer than what SQL said before; without it a revoked token would pass again."""
    server, other = servers
    journal = SlowJournal(server.database)
    follower = Follower(journal, server.stream, server.ledger, Nobody(), HighWater(NOWHERE))
    await follower.start()
    journal.read.clear()
    journal.arrives.clear()
    rebuilding = asyncio.create_task(follower.start())
    await journal.read.wait()
    following = asyncio.create_task(follower.run())
    await other.revoke("alice")
    while follower.picture.head.seq == 0:
        await asyncio.sleep(0.01)
    journal.arrives.set()
    reached = follower.picture.head
    while not rebuilding.done():
        assert follower.picture.head == reached
        await asyncio.sleep(0)
    follower.close()
    await asyncio.wait_for(following, 5)
