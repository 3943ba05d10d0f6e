"""How clients are told of logouts: how often, how many at once, and what the others notice of one that is slow (A58)."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import jwt
import pytest
import structlog
from sqlmodel import select

from identity.administration.clients import Clients
from identity.installed_keys import key_place
from identity.keyring.live import LiveKeys
from identity.models import AuditEvent, LogoutNotice
from identity.oauth.logout_delivery import MOST_TRIES, LogoutDelivery
from identity.oauth.registration.new_client import NewClient
from identity.outbound.errors import AddressRefused, NotReached
from identity.settings import Settings
from identity.store.sql.logout_notices import SqlLogoutNotices
from identity.tokens.logout_token import LogoutTokenMint
from identity.wiring.parts import Parts, Stores
from identity.wiring.services import logout_delivery

BEGAN = int(time.time())
IDS = map(str, itertools.count())


@dataclass
class Clientele:
    """Clients by their address: what they answer, and what they were sent. A `hanging` one holds until it is let go."""

    answers: dict[str, int | Exception] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    tokens: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    now: int = 0
    most: int = 0

    async def post_form(self, url: str, fields: Mapping[str, str], seconds: float) -> int:
        self.asked[url] += 1
        self.tokens.append(fields["logout_token"])
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if url in self.hanging:
                await self.let_go.wait()
                raise NotReached("no answer in time")
            await asyncio.sleep(0)
            answer = self.answers.get(url, 200)
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self.now -= 1


@dataclass
class Bureau:
    """An installation without a server, whose clock a test moves."""

    parts: Parts
    clientele: Clientele = field(default_factory=Clientele)
    now: float = BEGAN

    def delivery(self) -> LogoutDelivery:
        parts, notices = self.parts, SqlLogoutNotices(self.parts.stores.database)
        mint = LogoutTokenMint(parts.settings.issuer)
        return LogoutDelivery(
            notices,
            parts.registry,
            parts.keys,
            parts.subjects,
            mint,
            self.clientele,  # type: ignore[arg-type]
            parts.audit,
            clock=lambda: self.now,
        )

    async def look(self, *deliveries: LogoutDelivery) -> None:
        """Every server looks once, and whoever is told now has answered."""
        async with asyncio.timeout(20), asyncio.TaskGroup() as lanes:
            for delivery in deliveries or (self.delivery(),):
                await delivery.look(lanes)

    async def ended(self, client_id: str, count: int = 1) -> None:
        """So many logins ended in which the client took part."""
        async with self.parts.stores.database.transaction() as session:
            for _ in range(count):
                sid = f"s{next(IDS)}"
                times = {"due_at": BEGAN, "created_at": BEGAN}
                session.add(LogoutNotice(id=sid, client_id=client_id, subject="alice", session_id=sid, **times))

    async def left(self) -> list[LogoutNotice]:
        async with self.parts.stores.database.read() as session:
            return list((await session.scalars(select(LogoutNotice).order_by(LogoutNotice.id))).all())

    async def events(self) -> list[tuple[str | None, str | None]]:
        await self.parts.audit.flush()
        async with self.parts.stores.database.read() as session:
            found = await session.scalars(select(AuditEvent).where(AuditEvent.event == "logout.not_told"))
            return [(each.client_id, each.detail) for each in found]

    def said(self) -> list[dict[str, object]]:
        return [jwt.decode(token, options={"verify_signature": False}) for token in self.clientele.tokens]


def url(client_id: str) -> str:
    return f"https://{client_id}.example/logout"


@pytest.fixture
async def bureau(settings_of: Callable[..., Settings]) -> AsyncIterator[Bureau]:
    settings = settings_of()
    stores = Stores.of(settings)
    parts = Parts.of(settings, stores, LiveKeys(key_place(settings, stores.database)))
    await parts.keys.start()
    office = Clients(stores.ledger, "test")
    for name in ("shop", "mail", *(f"slow{number}" for number in range(10))):
        found = NewClient(name, ("client_credentials",), backchannel_logout_uri=url(name))
        await office.create(found)
    yield Bureau(parts)
    parts.passwords.close()
    await stores.close()


async def test_a58_two_servers_tell_each_notice_once(bureau: Bureau) -> None:
    await bureau.ended("shop", 40)
    await bureau.ended("mail", 40)
    await bureau.look(*(bureau.delivery() for _ in range(4)))
    assert bureau.clientele.asked == {url("shop"): 40, url("mail"): 40}
    assert len({claims["jti"] for claims in bureau.said()}) == 80
    assert await bureau.left() == []


async def test_a58_tries_are_bounded_in_number_and_time(bureau: Bureau) -> None:
    """Eight, further and further apart, in about an hour, each with a token of its own time; then the trail says so."""
    bureau.clientele.answers[url("shop")] = 503
    await bureau.ended("shop")
    tried = []
    while await bureau.left():
        bureau.now = max(bureau.now, (await bureau.left())[0].due_at)
        tried.append(bureau.now - BEGAN)
        await bureau.look()
    assert len(tried) == MOST_TRIES == 8
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert pauses == sorted(pauses)
    assert 3 <= pauses[0] <= 7
    assert 2500 <= tried[-1] <= 4500
    assert {claims["jti"] for claims in bureau.said()} == {bureau.said()[0]["jti"]}
    assert [claims["iat"] for claims in bureau.said()] == [BEGAN + seconds for seconds in tried]
    assert await bureau.events() == [("shop", "status 503")]


async def test_a58_a_client_that_is_away_is_asked_once_for_all(bureau: Bureau) -> None:
    """A hundred notices are not a hundred times five seconds; and it hears of all when it is back."""
    bureau.clientele.answers[url("shop")] = NotReached("no answer in time")
    await bureau.ended("shop", 100)
    await bureau.look()
    assert bureau.clientele.asked == {url("shop"): 1}
    assert {notice.attempts for notice in await bureau.left()} == {1}
    bureau.clientele.answers.clear()
    bureau.now += 10
    await bureau.look()
    assert await bureau.left() == []
    assert bureau.clientele.asked == {url("shop"): 101}


async def test_a58_a_client_that_never_comes_back_is_given_up_with_all_its_notices(bureau: Bureau) -> None:
    bureau.clientele.answers[url("shop")] = NotReached("ConnectError")
    await bureau.ended("shop", 20)
    looks = 0
    while left := await bureau.left():
        bureau.now, looks = max(notice.due_at for notice in left), looks + 1
        await bureau.look()
    assert looks == MOST_TRIES + 1, "those that shared the last try are given up with it"
    assert bureau.clientele.asked[url("shop")] == MOST_TRIES
    assert bureau.now - BEGAN < 5000
    assert len(await bureau.events()) == 20


async def test_a58_hanging_clients_hold_nobody_up(bureau: Bureau) -> None:
    """Nor do they take more than their share: eight at once for each process, and one request for each client."""
    slow = [f"slow{number}" for number in range(10)]
    bureau.clientele.hanging = {url(name) for name in slow}
    for name in slow[:7]:
        await bureau.ended(name, 5)
    await bureau.ended("shop", 5)
    delivery = bureau.delivery()
    async with asyncio.timeout(20), asyncio.TaskGroup() as lanes:
        await delivery.look(lanes)
        while bureau.clientele.asked[url("shop")] < 5 or bureau.clientele.now < 7:
            await asyncio.sleep(0.01)
        for name in slow[7:]:
            await bureau.ended(name, 5)
        for _ in range(3):
            await delivery.look(lanes)
            await asyncio.sleep(0.05)
        assert bureau.clientele.most == 8
        assert max(bureau.clientele.asked[url(name)] for name in slow) == 1
        bureau.clientele.let_go.set()
    assert {notice.client_id for notice in await bureau.left()} == set(slow)


async def test_a58_one_notice_that_a_client_chokes_on_holds_up_no_other(bureau: Bureau) -> None:
    """Its errors are about this login; others may be fine."""

    class Choking(Clientele):
        async def post_form(self, url: str, fields: Mapping[str, str], seconds: float) -> int:
            told = await super().post_form(url, fields, seconds)
            return 500 if self.asked[url] == 1 else told

    bureau.clientele = Choking()
    await bureau.ended("shop", 5)
    await bureau.look()
    assert bureau.clientele.asked[url("shop")] == 5
    assert [notice.attempts for notice in await bureau.left()] == [1]


@pytest.mark.parametrize("status", [301, 307, 401, 404, 500, 503])
async def test_a58_whatever_else_is_answered_is_tried_again(bureau: Bureau, status: int) -> None:
    bureau.clientele.answers[url("shop")] = status
    await bureau.ended("shop")
    await bureau.look()
    (left,) = await bureau.left()
    assert left.due_at > bureau.now


@pytest.mark.parametrize("status", [200, 204])
async def test_a58_what_is_heard_is_over(bureau: Bureau, status: int) -> None:
    bureau.clientele.answers[url("shop")] = status
    await bureau.ended("shop")
    await bureau.look()
    assert await bureau.left() == []
    assert await bureau.events() == []


async def test_a58_a_disabled_client_hears_nothing(bureau: Bureau) -> None:
    await Clients(bureau.parts.stores.ledger, "test").disable("shop")
    await bureau.ended("shop")
    await bureau.look()
    assert await bureau.left() == []
    assert bureau.clientele.tokens == []


async def test_a58_what_nobody_foresaw_ends_one_try_and_no_worker(bureau: Bureau) -> None:
    bureau.clientele.answers[url("shop")] = RuntimeError("a defect")
    await bureau.ended("shop")
    await bureau.ended("mail")
    await bureau.look()
    assert bureau.clientele.asked[url("mail")] == 1
    bureau.clientele.answers.clear()
    bureau.now += 15
    await bureau.look()
    assert await bureau.left() == []


async def test_a64_nothing_that_a_client_is_sent_is_in_the_log_or_the_trail(bureau: Bureau) -> None:
    with structlog.testing.capture_logs() as logged:
        for answer in (503, 400, AddressRefused("it leads to an address"), RuntimeError("a defect")):
            bureau.clientele.answers[url("shop")] = answer
            await bureau.ended("shop")
            await bureau.look()
    written = f"{logged} {await bureau.events()}"
    assert len(bureau.clientele.tokens) == 4
    for token in bureau.clientele.tokens:
        assert not any(part in written for part in token.split("."))


async def test_a15_a_client_inside_is_not_asked(bureau: Bureau) -> None:
    """The real client: an address that leads to this machine is refused, and that is tried again like an outage."""
    await Clients(bureau.parts.stores.ledger, "test").create(
        NewClient("inner", ("client_credentials",), backchannel_logout_uri="https://10.0.0.1/logout")
    )
    await bureau.ended("inner")
    async with asyncio.TaskGroup() as lanes:
        await logout_delivery(bureau.parts).look(lanes)
    (left,) = await bureau.left()
    assert left.attempts == 1
    assert left.due_at > BEGAN
