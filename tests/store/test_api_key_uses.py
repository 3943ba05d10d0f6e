"""The last use of an API key: written later, only ever forward, and never anybody's problem."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, update
from sqlmodel import col, select

from identity.feed.rules import Rule
from identity.feed.stores import StoreUnavailableError
from identity.models import ApiKey, Resource, User
from identity.store.noting import keep_writing
from identity.store.sql import api_key_uses
from identity.store.sql.api_key_uses import ApiKeyUses
from identity.store.sql.change import changes
from identity.store.sql.engine import Database
from identity.verifier.profile import RuleKind


async def populate(database: Database, *key_ids: str) -> None:
    async with database.transaction() as session:
        session.add(User(subject="a1", username="Alice", username_key="alice"))
        session.add(Resource(name="orders", identifier="https://orders.example.com"))
        await session.flush()
        for key_id in key_ids:
            session.add(ApiKey(key_id=key_id, secret_hash="", name="k", subject="a1", resource="orders", revision=0))


async def used(database: Database) -> dict[str, datetime | None]:
    async with database.read() as session:
        return {row.key_id: row.last_used_at for row in (await session.scalars(select(ApiKey))).all()}


async def test_a_hundred_uses_are_one_write(database: Database) -> None:
    await populate(database, "k1", "k2")
    uses, commits = ApiKeyUses(database), []
    event.listen(database.engine.sync_engine, "commit", commits.append)
    began = datetime.now(UTC)
    for _ in range(100):
        uses.note("k1")
    await uses.flush()
    await uses.flush()
    assert len(commits) == 1
    last = await used(database)
    assert last["k1"] is not None
    assert began <= last["k1"] <= datetime.now(UTC)
    assert last["k2"] is None


async def test_an_earlier_use_never_overwrites_a_later_one(database: Database) -> None:
    """Another process may have written first."""
    await populate(database, "k1")
    later = datetime.now(UTC) + timedelta(hours=1)
    async with database.transaction() as session:
        await session.execute(update(ApiKey).values(last_used_at=later))
    uses = ApiKeyUses(database)
    uses.note("k1")
    await uses.flush()
    assert (await used(database))["k1"] == later


async def test_a_key_that_is_not_there_harms_nobody(database: Database) -> None:
    await populate(database, "k1")
    uses = ApiKeyUses(database)
    for key_id in ("k0", "k1", "k2"):
        uses.note(key_id)
    await uses.flush()
    assert (await used(database))["k1"] is not None


async def test_uses_wait_while_the_database_is_away_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """I5"""
    monkeypatch.setattr(api_key_uses, "_MAX_WAITING", 3)
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    uses = ApiKeyUses(away)
    for key_id in ("k1", "k2", "k3", "k4", "k1"):
        uses.note(key_id)
    with pytest.raises(StoreUnavailableError):
        await uses.flush()
    assert set(uses._waiting) == {"k1", "k2", "k3"}
    await away.close()


async def test_uses_are_written_in_the_background(database: Database) -> None:
    await populate(database, "k1")
    uses = ApiKeyUses(database)
    uses.pause_seconds = 0.02
    running = asyncio.create_task(keep_writing(uses))
    uses.note("k1")
    async with asyncio.timeout(5):
        while (await used(database))["k1"] is None:
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_writing_uses_and_ending_all_keys_of_a_person_never_wait_for_each_other(database: Database) -> None:
    """Both lock many rows; taken in different orders, the database would end one of the two."""
    await populate(database, *(f"k{number:03}" for number in range(200)))
    begin = changes(database, 930, 1000)

    async def end() -> None:
        async with begin() as change:
            change.revoke(Rule.ending(RuleKind.SUBJECT, "a1"))

    async def write() -> None:
        uses = ApiKeyUses(database)
        for number in reversed(range(200)):
            uses.note(f"k{number:03}")
        await uses.flush()

    for _ in range(5):
        async with database.transaction() as session:
            await session.execute(update(ApiKey).values(revoked_at=None, last_used_at=None))
        await asyncio.gather(write(), end(), write(), end())
        async with database.read() as session:
            query = select(ApiKey).where(col(ApiKey.revoked_at).is_(None) | col(ApiKey.last_used_at).is_(None))
            assert (await session.scalars(query)).all() == []
