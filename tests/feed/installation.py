"""A feed over both pairs of engines, the embedded ones and the real ones, with as many replicas as a test wants."""

from dataclasses import dataclass, field
from pathlib import Path

from engines import SqlServer, valkey_url

from identity.feed.high_water import HighWater
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.store.redis.connection import RedisConnection, connect
from identity.store.redis.families import RedisFamilies
from identity.store.redis.feed import RedisStream
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.verifier.profile import RuleKind

NOWHERE = Path("/dev/null/high-water")
HORIZON, KEPT = 930, 30 * 86_400


@dataclass
class Replica:
    """One server process's connections to the two stores, and what stands on them."""

    database: Database
    redis: RedisConnection
    journal: SqlJournal = field(init=False)
    stream: RedisStream = field(init=False)
    families: RedisFamilies = field(init=False)
    ledger: Ledger[SqlChange] = field(init=False)
    high_water: HighWater = field(default_factory=lambda: HighWater(NOWHERE))

    def __post_init__(self) -> None:
        self.journal, self.stream = SqlJournal(self.database), RedisStream(self.redis)
        self.families = RedisFamilies(self.redis, 14 * 86_400, 10)
        begin = changes(self.database, HORIZON, KEPT)
        self.ledger = Ledger(begin, self.journal, self.stream)

    async def revoke(self, *rules: Rule) -> None:
        async with self.ledger.change() as change:
            change.revoke(*rules)

    async def revoke_unpublished(self, *rules: Rule) -> None:
        """What a process leaves behind that dies between the commit and Redis."""
        async with changes(self.database, HORIZON, KEPT)() as change:
            change.revoke(*rules)

    async def end(self, *grants: str) -> None:
        await self.revoke(*(Rule.ending(RuleKind.GRANT, grant) for grant in grants))

    async def agrees(self) -> bool:
        """SQL and Redis hold the same rules, in the same order, at the same head."""
        head, rules = await self.journal.after(0)
        return await self.stream.head() == head and await self.streamed() == rules

    async def streamed(self) -> list[object]:
        rules: list[object] = []
        while more := await self.stream.read_after(rules[-1].seq if rules else 0, 0.02):  # type: ignore[attr-defined]
            rules += more
        return rules


@dataclass
class Installation:
    """One pair of stores and as many replicas on it as a test wants."""

    sql: SqlServer
    url: str
    redis: RedisConnection
    is_real: bool
    replicas: list[Replica] = field(default_factory=list)

    def replica(self) -> Replica:
        redis = connect(valkey_url()) if self.is_real else self.redis
        self.replicas.append(Replica(Database(self.url), redis))
        return self.replicas[-1]

    async def close(self) -> None:
        for replica in self.replicas:
            await replica.database.close()
            await replica.redis.close()
        await self.redis.close()
