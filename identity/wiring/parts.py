"""The stores, and what there is once in a server process: most others stand on it."""

from __future__ import annotations

from dataclasses import dataclass

from identity.accounts.login import Login
from identity.accounts.passwords import Passwords
from identity.administration.keys import SigningKeys
from identity.feed.clocks import Clocks, StoreClock
from identity.feed.follower import Follower
from identity.feed.ledger import Ledger
from identity.installed_keys import high_water, key_place, key_rules, pairwise_key
from identity.keyring.live import LiveKeys
from identity.oauth.grants.sessions import Sessions
from identity.oauth.password_authentication import PasswordAuthentication
from identity.oauth.subjects import Subjects
from identity.outbound.client import Outbound
from identity.outbound.reach import Reach, read_networks
from identity.settings import Settings
from identity.store.noting import Notes
from identity.store.redis.clock import RedisClock
from identity.store.redis.connection import (
    RedisConnection,
    connect,
)
from identity.store.redis.families import RedisFamilies
from identity.store.redis.feed import RedisStream
from identity.store.redis.issued import RedisIssueCounts
from identity.store.redis.participants import RedisParticipants
from identity.store.redis.publications import RedisPublications
from identity.store.redis.throttle import RedisThrottle
from identity.store.redis.verifiers import RedisVerifiers
from identity.store.registry import RememberingRegistry
from identity.store.sql.accounts import SqlAccounts
from identity.store.sql.api_key_uses import ApiKeyUses
from identity.store.sql.audit import AuditTrail
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.clock import SqlClock
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.web.stopping import Stop


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores, and what is built directly on them; the command line uses them without a web server."""

    database: Database
    redis: RedisConnection
    journal: SqlJournal
    families: RedisFamilies
    ledger: Ledger[SqlChange]
    stream: RedisStream
    participants: RedisParticipants

    @classmethod
    def of(cls, settings: Settings) -> Stores:
        """Prepares the stores; nothing is opened yet."""
        database = Database(settings.database_url.get_secret_value(), settings.database_connections)
        redis = connect(settings.redis_url.get_secret_value())
        families = RedisFamilies(redis, settings.refresh_idle_lifetime, settings.refresh_retry_window)
        journal, stream = SqlJournal(database), RedisStream(redis)
        participants = RedisParticipants(redis)
        begin = changes(database, settings.token_horizon, settings.refresh_absolute_lifetime, participants)
        return cls(database, redis, journal, families, Ledger(begin, journal, stream), stream, participants)

    async def close(self) -> None:
        """Closes every connection."""
        await self.redis.close()
        await self.database.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """What there is once in a server process, and most others stand on; some of it must be started and stopped."""

    settings: Settings
    stores: Stores
    keys: LiveKeys
    registry: RememberingRegistry
    follower: Follower
    passwords: Passwords
    people: PasswordAuthentication
    sessions: Sessions
    audit: AuditTrail
    uses: ApiKeyUses
    clocks: Clocks
    issued: RedisIssueCounts
    subjects: Subjects
    outbound: Outbound
    stop: Stop

    @classmethod
    def of(cls, settings: Settings, stores: Stores, keys: LiveKeys) -> Parts:
        """Makes them; nothing is started yet."""
        registry = RememberingRegistry(stores.database, settings.issuer)
        follower = Follower(stores.journal, stores.stream, stores.ledger, registry, high_water(settings))
        keys.on_change = follower.wake
        passwords = Passwords(settings.password_threads, settings.password_queue)
        throttle = RedisThrottle(stores.redis, settings.login_attempts, settings.login_attempts_per_address)
        login = Login(SqlAccounts(stores.database), passwords, throttle)
        return cls(
            settings=settings,
            stores=stores,
            keys=keys,
            registry=registry,
            follower=follower,
            passwords=passwords,
            people=PasswordAuthentication(login, registry),
            sessions=Sessions(stores.ledger, stores.families),
            audit=AuditTrail(stores.database),
            uses=ApiKeyUses(stores.database),
            clocks=Clocks(clocks_of(stores)),
            issued=RedisIssueCounts(stores.redis),
            subjects=Subjects(pairwise_key(settings)),
            outbound=Outbound(Reach(read_networks(settings.outbound_allow), loopback=settings.mode == "dev")),
            stop=Stop(settings.stop_delay),
        )

    @property
    def notes(self) -> tuple[Notes, ...]:
        """What is written down a moment later, and when the server stops."""
        return self.audit, self.uses, self.issued


def signing_keys(settings: Settings, stores: Stores) -> SigningKeys:
    """Returns what operators, and the schedule, do with keys."""
    publications, verifiers = RedisPublications(stores.redis), RedisVerifiers(stores.redis)
    return SigningKeys(key_place(settings, stores.database), key_rules(settings), publications, verifiers)


def clocks_of(stores: Stores) -> dict[str, StoreClock]:
    """Returns the clocks that this machine's must agree with."""
    return {"the database": SqlClock(stores.database), "Redis": RedisClock(stores.redis)}
