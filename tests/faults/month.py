"""A month of an installation's life, under a clock of its own: both this program and Valkey read it from a file (libfaketime).

    python month.py CLOCK DAYS

Every day of that clock people log in, refresh, are ended and guess passwords; keys rotate; servers and verifiers are
replaced by others; then everything is tidied, by three at once, as three servers would. A line of JSON is written for each
day, and one at the end: every key of Redis, with the seconds it has left.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from identity.feed.follower import Follower
from identity.feed.high_water import HighWater
from identity.feed.rules import Rule
from identity.feed.verifiers import Head
from identity.models import ApiKey, AuditEvent, Resource, RevocationRule, User
from identity.settings import Settings, load_settings
from identity.store.redis.issued import RedisIssueCounts
from identity.store.redis.publications import RedisPublications
from identity.store.redis.throttle import RedisThrottle
from identity.store.redis.verifiers import RedisVerifiers
from identity.store.registry import RememberingRegistry
from identity.store.sql.audit import AuditTrail
from identity.store.sql.history import History
from identity.store.sql.migration import migrate
from identity.tokens.refresh_token import Family, Generation
from identity.verifier.profile import RuleKind
from identity.wiring.parts import Stores

LOGINS = 12
ENDED = 4
BEGINS = datetime(2027, 1, 1, tzinfo=UTC)
ORDERS = "https://orders.example"


class Life:
    """The installation, and what happens to it."""

    def __init__(self, settings: Settings, clock: Path) -> None:
        self.settings, self.clock = settings, clock
        self.stores = Stores.of(settings)
        memory = RememberingRegistry(self.stores.database, "https://login.example.com")
        self.follower = Follower(self.stores.journal, self.stores.stream, self.stores.ledger, memory, HighWater(None))
        self.history = History(self.stores.database, settings.history_retention)
        self.audit, self.issued = AuditTrail(self.stores.database), RedisIssueCounts(self.stores.redis)
        self.throttle, self.verifiers = RedisThrottle(self.stores.redis, 10, 100), RedisVerifiers(self.stores.redis)
        self.living: deque[tuple[str, int]] = deque(maxlen=4 * LOGINS)
        self.ended: deque[tuple[str, datetime]] = deque()

    async def begin(self) -> None:
        """Empty stores, a person and a resource."""
        await migrate(self.stores.database)
        async with self.stores.database.transaction() as session:
            session.add(User(subject="a1", username="Alice", username_key="alice"))
            session.add(Resource(name="orders", identifier=ORDERS))
        await self.follower.start()

    async def set_clock(self, moment: datetime) -> None:
        """Puts the clock of all who read it to this moment, from which it goes on as clocks do."""
        made = self.clock.with_suffix(".new")
        made.write_text(f"@{moment:%Y-%m-%d %H:%M:%S}\n")
        made.replace(self.clock)
        patience = time.monotonic() + 10
        while any(
            abs(seen - moment.timestamp()) > 60 for seen in (time.time(), float((await self.execute("TIME"))[0]))
        ):
            assert time.monotonic() < patience, "somebody does not read the clock"
            await asyncio.sleep(0.05)

    async def step(self, number: int) -> None:
        """A day."""
        now = BEGINS + timedelta(days=number)
        await self.set_clock(now)
        kid = f"key{number // 5}"
        for each in range(LOGINS):
            await self.log_in(f"{number}-{each}", kid, int(now.timestamp()))
        for family, generation in list(self.living)[-LOGINS:]:
            await self.stores.families.step(Generation(family, generation), rotates=True, kid=kid)
        for _ in range(ENDED):
            await self.end(*self.living.popleft(), now)
        await RedisPublications(self.stores.redis).report((kid, f"key{number // 5 + 1}"), ())
        for resource in ("orders", "bills"):
            await self.verifiers.report(resource, f"instance{number}", Head("e", number), [kid], 1)
        await self.audit.flush()
        await self.issued.flush()
        await self.add_keys(number, now)
        await self.tidy(now)

    async def log_in(self, name: str, kid: str, now: int) -> None:
        account, address = f"person-{name}", f"192.0.2.{hash(name) % 250}"
        await self.throttle.admit(account, address)
        if hash(name) % 4:
            await self.throttle.succeeded(account, address)
        family = Family(
            f"family-{name}", "a1", "web", ("orders:read",), ORDERS, now, ("pwd",), self.follower.picture.head.seq,
            now + self.settings.refresh_absolute_lifetime,
        )  # fmt: skip
        await self.stores.families.begin(family, kid)
        self.audit.record("token.issued", subject="a1", grant_id=family.family)
        self.issued.count(kid, "web", ORDERS, now)
        self.living.append((family.family, 0))

    async def end(self, family: str, _generation: int, now: datetime) -> None:
        async with self.stores.ledger.change() as change:
            change.revoke(Rule.ending(RuleKind.GRANT, family), Rule.revoking(RuleKind.TOKEN, f"jti-{family}"))
            change.revoke(Rule.changed(RuleKind.CLIENT, "web"))
            change.record(AuditEvent(event="token.revoked", grant_id=family))
        self.ended.append((family, now))

    async def add_keys(self, number: int, now: datetime) -> None:
        async with self.stores.database.transaction() as session:
            for each in range(2):
                expires = now + timedelta(days=3) if each else None
                key = ApiKey(
                    key_id=f"k{number}-{each}", secret_hash="", name="k", subject="a1", resource="orders", revision=0
                )
                key.expires_at, key.revoked_at = expires, None if each else now
                session.add(key)
        if number == 1:
            async with self.stores.ledger.change() as change:
                change.revoke(Rule.revoking(RuleKind.KEY, "stolen"))

    async def tidy(self, now: datetime) -> None:
        """Three servers do so at once; then whatever must still protect somebody is looked for."""
        await asyncio.gather(*(self.follower._tidy() for _ in range(3)), *(self.history.purge(now) for _ in range(3)))
        await self.follower._follow()
        await self.follower._confirm()
        while self.ended and self.ended[0][1] + timedelta(seconds=self.settings.refresh_absolute_lifetime) <= now:
            self.ended.popleft()
        for family, _ in self.ended:
            assert await self.stores.journal.has_ended(family), "the end of a session was forgotten too early"

    async def count(self) -> dict[str, int]:
        """Everything that could grow."""
        found: dict[str, int] = {}
        async with self.stores.database.read() as session:
            for table in (RevocationRule, AuditEvent, ApiKey):
                found[str(table.__tablename__)] = int(
                    await session.scalar(select(func.count()).select_from(table)) or 0
                )
        # Addresses known to an account live for 30 days, whatever the settings say: more of them come all that time. Not
        # DBSIZE: what has expired is counted there until Valkey comes round to removing it.
        counting = "return #redis.call('KEYS', '*') - #redis.call('KEYS', '*:known')"
        found["redis keys"] = int(await self.execute("EVAL", counting, "0"))
        found["rules in memory"] = sum(1 for _ in self.follower.picture.since(0, time.time()))
        return found

    async def execute(self, *command: Any) -> Any:
        return await self.stores.redis.execute(*command)

    async def keys(self) -> dict[str, int]:
        """Every key, and how many seconds are left to it; -1 for ever."""
        return {key: int(await self.execute("TTL", key)) for key in sorted(await self.execute("KEYS", "*"))}


async def main(clock: str, days: int) -> None:
    life = Life(load_settings(os.environ), Path(clock))
    await life.begin()
    for number in range(1, days + 1):
        await life.step(number)
        print(json.dumps(await life.count()), flush=True)
    print(json.dumps(await life.keys()), flush=True)
    await life.stores.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
