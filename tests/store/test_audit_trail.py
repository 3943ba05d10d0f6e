"""The audit trail's writer: a login never waits for it, and nothing it is given can stop it (A64)."""

import asyncio
import time

import pytest
from engines import SqlServer
from sqlalchemy import event as sqlalchemy_event
from sqlmodel import select

from identity.feed.stores import StoreUnavailableError
from identity.models import AuditEvent
from identity.store.noting import keep_writing
from identity.store.sql.audit import AuditTrail
from identity.store.sql.engine import Database


async def stored(database: Database) -> list[str]:
    async with database.read() as session:
        return list((await session.scalars(select(AuditEvent.detail).order_by(AuditEvent.id))).all())


async def until_stored(database: Database, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(await stored(database)) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_events_are_written_in_order_many_to_a_transaction(database: Database) -> None:
    trail = AuditTrail(database)
    for number in range(1200):
        trail.record("token.issued", detail=str(number))
    commits = []
    sqlalchemy_event.listen(database.engine.sync_engine, "commit", commits.append)
    await trail.flush()
    assert await stored(database) == [str(number) for number in range(1200)]
    assert len(commits) == 3


async def test_events_are_written_a_moment_after_they_were_recorded(database: Database) -> None:
    trail = AuditTrail(database)
    running = asyncio.create_task(keep_writing(trail))
    trail.record("token.issued")
    await until_stored(database, 1)
    trail.record("token.issued")
    await until_stored(database, 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_every_field_of_an_event_is_kept(database: Database) -> None:
    trail = AuditTrail(database)
    facts = {"subject": "s", "client_id": "c", "grant_id": "g", "address": "::1", "detail": "d"}
    trail.record("token.refused", **facts)
    await trail.flush()
    async with database.read() as session:
        row = (await session.scalars(select(AuditEvent))).one()
    assert row.model_dump(exclude={"id", "at"}) == {"event": "token.refused", "actor": "", **facts}


async def test_events_wait_while_the_database_is_away(sql: SqlServer) -> None:
    """I5: recording never fails the login; the events are written when the database is back."""
    url = await sql.migrated_url()
    database = Database(url)
    trail = AuditTrail(database)
    trail.record("token.issued", detail="kept")
    sql.take_away(url)
    with pytest.raises(StoreUnavailableError):
        await trail.flush()
    sql.bring_back(url)
    await trail.flush()
    assert await stored(database) == ["kept"]
    await database.close()


async def test_the_queue_has_an_end(database: Database) -> None:
    """I6: a database that stays away does not fill the memory."""
    trail = AuditTrail(database)
    for number in range(10_500):
        trail.record("token.issued", detail=str(number))
    await trail.flush()
    kept = await stored(database)
    assert len(kept) == 10_000
    assert kept[-1] == "9999"


@pytest.mark.parametrize("poison", ["x" * 5000, "with NUL \0", "lone surrogate \ud800"])
async def test_an_event_that_cannot_be_stored_does_not_keep_the_others_out(database: Database, poison: str) -> None:
    """A64: otherwise whoever finds such a text switches the audit trail off."""
    trail = AuditTrail(database)
    running = asyncio.create_task(keep_writing(trail))
    trail.record("token.refused", detail="before")
    trail.record("token.refused", detail=poison, address=poison)
    trail.record("token.refused", detail="after")
    deadline = time.monotonic() + 10
    while not {"before", "after"} <= set(await stored(database)):
        assert time.monotonic() < deadline
        assert not running.done(), running.exception()
        await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
