"""What follows the feed survives errors nobody foresaw: it failed closed, but for ever (I7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from identity.feed.follower import Follower
from identity.feed.high_water import HighWater
from identity.feed.ledger import Ledger
from identity.feed.rules import Head, Rule
from identity.feed.stores import StoreUnavailableError
from identity.store.redis.connection import connect
from identity.store.redis.feed import RedisStream
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.store.sql.migration import migrate
from identity.verifier.profile import FEED_MAX_AGE, RuleKind

NOWHERE = Path("/dev/null/high-water")


class Nobody:
    """A memory with nothing in it."""

    def forget(self, digest: bytes) -> None:
        pass

    def forget_everything(self) -> None:
        pass


class OddJournal(SqlJournal):
    """A journal that fails as a database does which has become a read-only standby: with an error of no known kind."""

    is_odd = False

    async def head(self) -> Head:
        self._fail_if_odd()
        return await super().head()

    async def purge(self, now: int) -> int:
        self._fail_if_odd()
        return await super().purge(now)

    def _fail_if_odd(self) -> None:
        if self.is_odd:
            raise RuntimeError("secret-of-the-database")


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[tuple[Follower, OddJournal, Ledger[SqlChange]]]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'feed.sqlite3'}")
    await migrate(database)
    redis = connect("fakeredis://")
    journal, stream = OddJournal(database), RedisStream(redis)
    ledger: Ledger[SqlChange] = Ledger(changes(database, 990, 86_400), journal, stream)
    yield Follower(journal, stream, ledger, Nobody(), HighWater(NOWHERE)), journal, ledger
    await redis.close()
    await database.close()


async def test_an_error_nobody_foresaw_ends_with_its_cause(
    installation: tuple[Follower, OddJournal, Ledger[SqlChange]], capsys: pytest.CaptureFixture[str]
) -> None:
    """I5, I7, F08: it fails closed while the cause lasts, says no more than its kind, and goes on afterwards."""
    follower, journal, ledger = installation
    await follower.start()
    journal.is_odd = True
    running = asyncio.create_task(follower.run())
    async with asyncio.timeout(8):
        while follower.age <= FEED_MAX_AGE:
            await asyncio.sleep(0.02)
        with pytest.raises(StoreUnavailableError):
            follower.require_fresh()
        assert "secret-of-the-database" not in follower.problem + "".join(capsys.readouterr())
        assert "RuntimeError" in follower.problem
        journal.is_odd = False
        async with ledger.change() as change:
            change.revoke(Rule.revoking(RuleKind.SUBJECT, "alice"))
        while follower.picture.head.seq == 0 or follower.age > FEED_MAX_AGE:
            assert not running.done()
            await asyncio.sleep(0.02)
    follower.close()
    await asyncio.wait_for(running, 5)
