"""Notices of logouts in SQL, and who took part in a login in Redis, on every engine (A58)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from engines import keys
from sqlmodel import select
from test_journal import HORIZON, KEPT

from identity.accounts.participants import EndedLogins, Participant, Participants
from identity.feed.rules import Rule
from identity.feed.stores import StoreUnavailableError
from identity.models import Client, LogoutNotice
from identity.store.redis.commands import RedisConnection
from identity.store.redis.participants import RedisParticipants
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.engine import Database
from identity.store.sql.logout_notices import SqlLogoutNotices
from identity.verifier.profile import RuleKind

NOW = int(time.time())
ENDS = NOW + 1000


class Known:
    """Participants that a test says."""

    def __init__(self, *participants: Participant, is_away: bool = False) -> None:
        self.participants = list(participants)
        self.is_away = is_away

    async def note(self, subject: str, participant: Participant, until: int) -> None:
        self.participants.append(participant)

    async def of(self, subject: str) -> list[Participant]:
        if self.is_away:
            raise StoreUnavailableError("Redis", "away")
        return list(self.participants)

    async def forget(self, subject: str, participants: Sequence[Participant]) -> None:
        self.participants = [each for each in self.participants if each not in participants]


@pytest.fixture
async def clients(database: Database) -> None:
    """Three clients, of which `silent` has no address."""
    async with database.transaction() as session:
        for name in ("shop", "mail", "silent"):
            uri = "" if name == "silent" else f"https://{name}.example/logout"
            session.add(Client(client_id=name, name=name, backchannel_logout_uri=uri))


async def all_notices(database: Database) -> list[LogoutNotice]:
    async with database.read() as session:
        return list((await session.scalars(select(LogoutNotice))).all())


async def end(database: Database, participants: Participants, *ended: EndedLogins, subject: str = "") -> None:
    async with changes(database, HORIZON, KEPT, participants)() as change:
        if subject:
            change.revoke(Rule.ending(RuleKind.SUBJECT, subject))
        change.tell(*ended)


SHOP, MAIL, OLD = Participant("s1", "shop"), Participant("s1", "mail"), Participant("s2", "shop")


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (EndedLogins("alice", "s1"), {("s1", "shop"), ("s1", "mail")}),
        (EndedLogins("alice", "s1", "shop"), {("s1", "shop")}),
        (EndedLogins("alice"), {("s1", "shop"), ("s1", "mail"), ("s2", "shop")}),
        (EndedLogins("alice", "s3"), set()),
    ],
)
async def test_a58_what_ended_is_told_to_who_took_part(
    database: Database, clients: None, ended: EndedLogins, told: set[tuple[str, str]]
) -> None:
    """And not to a client without an address, or one that is not there any more."""
    known = Known(SHOP, MAIL, OLD, Participant("s1", "silent"), Participant("s1", "gone"))
    await end(database, known, ended)
    found = await all_notices(database)
    assert {(each.session_id, each.client_id) for each in found} == told
    assert {each.subject for each in found} <= {"alice"}
    assert {(each.session_id, each.client_id) for each in known.participants} & told == set()


async def test_a58_notices_are_committed_with_the_rule_or_not_at_all(database: Database, clients: None) -> None:
    """An outbox: no crash lies between the two."""
    known = Known(SHOP)
    with pytest.raises(KeyError):
        async with changes(database, HORIZON, KEPT, known)() as change:
            change.revoke(Rule.ending(RuleKind.SUBJECT, "alice"))
            await change.number_rules(HORIZON, KEPT)
            raise KeyError
    assert await all_notices(database) == []
    assert known.participants == [SHOP]
    await end(database, known, subject="alice")
    assert [each.client_id for each in await all_notices(database)] == ["shop"]


async def test_a58_a_rule_that_ends_no_person_tells_nobody(database: Database, clients: None) -> None:
    async with changes(database, HORIZON, KEPT, Known(SHOP))() as change:
        change.revoke(Rule.revoking(RuleKind.SUBJECT, "alice"), Rule.ending(RuleKind.GRANT, "alice"))
        change.revoke(Rule.changed(RuleKind.SUBJECT, "alice"))
    assert await all_notices(database) == []


async def test_a58_without_redis_it_ends_all_the_same(database: Database, clients: None) -> None:
    """Ending somebody matters more than telling of it."""
    known = Known(SHOP, is_away=True)
    ended: SqlChange
    async with changes(database, HORIZON, KEPT, known)() as ended:
        ended.revoke(Rule.ending(RuleKind.SUBJECT, "alice"))
    assert len(ended.numbered) == 1
    assert await all_notices(database) == []


async def told_by(notices: SqlLogoutNotices, client_id: str, now: int, until: int) -> list[str]:
    """What one of several servers gets to tell, one after the other."""
    told = []
    while notice := await notices.claim(client_id, now, until):
        told.append(notice.id)
    return told


async def test_a58_of_any_number_of_servers_one_gets_a_notice(database: Database, clients: None) -> None:
    """Until its claim has run out; then it counts as another try."""
    known = Known(*(Participant(f"s{number}", "shop") for number in range(30)))
    await end(database, known, subject="alice")
    notices = SqlLogoutNotices(database)
    now = int(time.time()) + 1
    assert await notices.clients(now, 10, ()) == ["shop"]
    found = await asyncio.gather(*(told_by(notices, "shop", now, now + 15) for _ in range(6)))
    told = [each for some in found for each in some]
    assert len(told) == 30
    assert len(set(told)) == 30
    assert await notices.clients(now, 10, ()) == []
    again = await notices.claim("shop", now + 15, now + 30)
    assert again is not None
    assert again.attempts == 2


async def test_a58_what_is_postponed_is_due_then_and_what_is_told_never(database: Database, clients: None) -> None:
    await end(database, Known(SHOP, MAIL), subject="alice")
    notices, now = SqlLogoutNotices(database), int(time.time()) + 1
    first = await notices.claim("shop", now, now + 15)
    assert first is not None
    await notices.postpone(first, now + 100)
    assert await notices.clients(now + 99, 10, ()) == ["mail"]
    assert sorted(await notices.clients(now + 100, 10, ())) == ["mail", "shop"]
    assert await notices.clients(now + 100, 10, {"mail"}) == ["shop"]
    assert await notices.clients(now + 100, 1, ()) == [
        "mail"
    ]  # It waits longer, and comes first whatever it is called.
    assert await notices.clients(now + 100, 0, ()) == []
    second = await notices.claim("shop", now + 100, now + 115)
    assert second is not None
    assert (second.id, second.attempts) == (first.id, 2)
    await notices.postpone(first, now)  # Too late: somebody else has it.
    assert await notices.claim("shop", now + 100, now + 115) is None
    await notices.remove(second)
    assert await notices.clients(now + 1000, 10, ()) == ["mail"]


async def test_a58_one_try_counts_for_everything_that_waits_for_a_client(database: Database, clients: None) -> None:
    """And for no other client, nor for what is not due."""
    await end(database, Known(SHOP, OLD, MAIL), subject="alice")
    notices, now = SqlLogoutNotices(database), int(time.time()) + 1
    claimed = await notices.claim("shop", now, now + 15)
    await notices.postpone_due("shop", now, now + 60)
    found = {(each.client_id, each.due_at - now, each.attempts) for each in await all_notices(database)}
    assert {("shop", 15, 1), ("shop", 60, 1)} <= found
    assert claimed is not None
    assert await notices.clients(now, 10, ()) == ["mail"]


async def test_who_took_part_is_known_by_the_person(redis: RedisConnection) -> None:
    """Twice noted is once; what is over is not told of; what was told of is forgotten, and nothing that came meanwhile."""
    participants = RedisParticipants(redis)
    assert await participants.of("alice") == []
    for each in (SHOP, MAIL, SHOP):
        await participants.note("alice", each, ENDS)
    await participants.note("bob", OLD, ENDS)
    await participants.note("alice", Participant("s0", "shop"), NOW - 1)
    assert sorted(await participants.of("alice"), key=repr) == [MAIL, SHOP]
    await participants.note("alice", OLD, ENDS)
    await participants.forget("alice", [SHOP, MAIL])
    await participants.forget("alice", [])
    assert await participants.of("alice") == [OLD]
    assert await participants.of("bob") == [OLD]


async def test_what_redis_knows_of_logins_goes_away_by_itself(redis: RedisConnection) -> None:
    """It lives as long as the longest session in it, and somebody who never signs out takes no more room for that."""
    participants = RedisParticipants(redis)
    for number in range(20):
        await participants.note("alice", Participant(f"s{number}", "shop"), NOW - 1000 + number)
    await participants.note("alice", SHOP, ENDS + 500)
    await participants.note("alice", SHOP, ENDS)
    await participants.note("alice", MAIL, ENDS)
    (key,) = await keys(redis, "participants:*")
    assert int(await redis.execute("ZCARD", key)) == 2
    left = int(await redis.execute("TTL", key))
    assert abs(left - (ENDS + 500 - time.time())) < 60
    assert [await redis.execute("TTL", each) for each in await keys(redis)] == [left]
