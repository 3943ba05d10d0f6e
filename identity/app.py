"""The composition root: the only place that knows every part, and puts them together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from fastapi import FastAPI

from identity.accounts.login import Login
from identity.accounts.passwords import Passwords
from identity.administration.key_schedule import RotationSchedule
from identity.administration.keys import SigningKeys
from identity.feed.clocks import Clocks, StoreClock
from identity.feed.follower import Follower
from identity.feed.ledger import Ledger
from identity.feed.stores import StoreUnavailableError
from identity.installed_keys import high_water, key_place, key_rules
from identity.keyring.live import LiveKeys, LoadedKeys
from identity.oauth.api_key_authentication import ApiKeyAuthentication
from identity.oauth.authorization.decision import Authorization
from identity.oauth.authorization.sign_in import SignIn
from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.grants.api_key import ApiKeyGrant
from identity.oauth.grants.authorization_code import AuthorizationCodeGrant
from identity.oauth.grants.client_credentials import ClientCredentialsGrant
from identity.oauth.grants.password import PasswordGrant
from identity.oauth.grants.pipeline import TokenPipeline
from identity.oauth.grants.refresh_token import RefreshTokenGrant
from identity.oauth.grants.sessions import Sessions
from identity.oauth.introspection import Introspection
from identity.oauth.live_tokens import LiveTokens
from identity.oauth.password_authentication import PasswordAuthentication
from identity.oauth.presented_token import TokenReader
from identity.oauth.revocation import Revocation
from identity.oauth.userinfo import UserInfo
from identity.settings import ConfigurationError, Settings
from identity.store.noting import Notes, keep_writing
from identity.store.redis.clock import RedisClock
from identity.store.redis.codes import RedisCodes
from identity.store.redis.connection import (
    RedisConnection,
    UnsuitableRedisError,
    connect,
    require_owner,
    require_suitable,
)
from identity.store.redis.families import RedisFamilies
from identity.store.redis.feed import RedisStream
from identity.store.redis.interactions import RedisInteractions
from identity.store.redis.issued import RedisIssueCounts
from identity.store.redis.login_sessions import RedisLoginSessions
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
from identity.store.sql.history import History
from identity.store.sql.journal import SqlJournal
from identity.store.sql.registrations import Registrations
from identity.store.sql.revision import tables_of
from identity.tokens.access_token import AccessTokenMint
from identity.tokens.id_token import IdTokenMint
from identity.web import errors
from identity.web.addresses import ClientAddress
from identity.web.cors import CrossOrigin
from identity.web.front import Front, FrontedApp
from identity.web.openapi import describe
from identity.web.routes import client_paths, endpoints, public_paths
from identity.web.services import Services
from identity.web.standstill import watch_for_standstills
from identity.web.stopping import Stop, on_stop_signal

_INTERACTION_SECONDS = 1800.0
"""How long a person may take to log in."""

_STOP_SECONDS = 5.0
"""How long a stopping server waits for the last step of what runs beside the endpoints."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores, and what is built directly on them; the command line uses them without a web server."""

    database: Database
    redis: RedisConnection
    journal: SqlJournal
    families: RedisFamilies
    ledger: Ledger[SqlChange]
    stream: RedisStream

    @classmethod
    def of(cls, settings: Settings) -> Stores:
        """Prepares the stores; nothing is opened yet."""
        database = Database(settings.database_url.get_secret_value(), settings.database_connections)
        redis = connect(settings.redis_url.get_secret_value())
        families = RedisFamilies(redis, settings.refresh_idle_lifetime, settings.refresh_retry_window)
        journal, stream = SqlJournal(database), RedisStream(redis)
        begin = changes(database, settings.token_horizon, settings.refresh_absolute_lifetime)
        return cls(database, redis, journal, families, Ledger(begin, journal, stream), stream)

    async def close(self) -> None:
        """Closes every connection."""
        await self.redis.close()
        await self.database.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs beside the endpoints and must be started and stopped."""

    stores: Stores
    follower: Follower
    keys: LiveKeys
    passwords: Passwords
    audit: AuditTrail
    uses: ApiKeyUses
    clocks: Clocks
    issued: RedisIssueCounts
    stop: Stop

    @property
    def notes(self) -> tuple[Notes, ...]:
        """What is written down a moment later, and when the server stops."""
        return self.audit, self.uses, self.issued


def create_app(settings: Settings, keys: LoadedKeys | None = None) -> FastAPI:
    """Returns the server, ready to be run. Keys are loaded (`keys` are those that were already, if any: validating them
    takes longer than all the rest), and the stores opened, and looked at, when it starts."""
    stores = Stores.of(settings)
    parts, services = _assemble(settings, stores, LiveKeys(key_place(settings, stores.database), keys))
    app = FrontedApp(
        title="Identity",
        description="Logs people and programs in, and signs the tokens that services verify.",
        version="0.1.0",
        lifespan=_lifespan(settings, parts),
        redirect_slashes=False,
        # The page loads its scripts from elsewhere: nobody else's code may run on the issuer's origin in production.
        docs_url="/docs" if settings.mode == "dev" else None,
        redoc_url=None,
    )
    errors.register(app)
    describe(app, settings.issuer)
    public, registered = public_paths(settings.issuer), client_paths(settings.issuer)
    table, origins = endpoints(services), services.registry.origins
    app.put_in_front(lambda rest: CrossOrigin(Front(rest, table, parts.stop), public, registered, origins))
    app.state.follower, app.state.keys, app.state.endpoints = parts.follower, parts.keys, table
    return app


def signing_keys(settings: Settings, stores: Stores) -> SigningKeys:
    """Returns what operators, and the schedule, do with keys."""
    publications, verifiers = RedisPublications(stores.redis), RedisVerifiers(stores.redis)
    return SigningKeys(key_place(settings, stores.database), key_rules(settings), publications, verifiers)


def clocks_of(stores: Stores) -> dict[str, StoreClock]:
    """Returns the clocks that this machine's must agree with."""
    return {"the database": SqlClock(stores.database), "Redis": RedisClock(stores.redis)}


def _assemble(settings: Settings, stores: Stores, keys: LiveKeys) -> tuple[Parts, Services]:
    registry = RememberingRegistry(stores.database, settings.issuer)
    follower = Follower(stores.journal, stores.stream, stores.ledger, registry, high_water(settings))
    keys.on_change = follower.wake
    passwords = Passwords(settings.password_threads, settings.password_queue)
    throttle = RedisThrottle(stores.redis, settings.login_attempts, settings.login_attempts_per_address)
    login = Login(SqlAccounts(stores.database), passwords, throttle)
    people = PasswordAuthentication(login, registry)
    audit, uses, clocks = AuditTrail(stores.database), ApiKeyUses(stores.database), Clocks(clocks_of(stores))
    authentication = ClientAuthentication(registry, settings.default_client)
    sessions = Sessions(stores.ledger, stores.families)
    codes = RedisCodes(stores.redis, settings.code_lifetime, settings.token_horizon)
    grants = (
        AuthorizationCodeGrant(registry, codes, stores.families, sessions, follower, keys),
        PasswordGrant(people, registry, stores.families, keys, settings.refresh_absolute_lifetime),
        RefreshTokenGrant(registry, stores.families, sessions, stores.journal, follower, keys, audit),
        ClientCredentialsGrant(registry),
        ApiKeyGrant(registry, uses),
    )
    mint = AccessTokenMint(settings.issuer, settings.access_token_lifetime)
    id_mint = IdTokenMint(settings.issuer, settings.access_token_lifetime)
    issued, api_keys = RedisIssueCounts(stores.redis), ApiKeyAuthentication(registry)
    tokens = TokenPipeline(authentication, api_keys, grants, follower, keys, mint, id_mint, audit, issued)
    revocation = Revocation(authentication, sessions, TokenReader(stores.families, keys, settings.issuer))
    live_tokens = LiveTokens(follower, keys, settings.issuer)
    login_sessions = RedisLoginSessions(stores.redis, settings.login_idle_lifetime)
    address, stop = ClientAddress(settings.trusted_proxies), Stop(settings.stop_delay)
    services = Services(
        settings=settings,
        keys=keys,
        follower=follower,
        authentication=authentication,
        tokens=tokens,
        revocation=revocation,
        introspection=Introspection(authentication, live_tokens),
        authorization=Authorization(
            settings.issuer, registry, follower, keys, codes, settings.refresh_absolute_lifetime
        ),
        interactions=RedisInteractions(stores.redis, _INTERACTION_SECONDS),
        login_sessions=login_sessions,
        sign_in=SignIn(people, login_sessions, follower, audit, settings.login_absolute_lifetime),
        userinfo=UserInfo(live_tokens, registry),
        address=address,
        registry=registry,
        verifiers=RedisVerifiers(stores.redis),
        clocks=clocks,
        audit=audit,
        stop=stop,
    )
    return Parts(stores, follower, keys, passwords, audit, uses, clocks, issued, stop), services


def _lifespan(settings: Settings, parts: Parts) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as cleanup:
            cleanup.push_async_callback(parts.stores.close)
            cleanup.callback(parts.passwords.close)
            await require_usable(settings, parts.stores)
            await parts.keys.start()
            await parts.follower.start()
            rules = key_rules(settings)
            publications = RedisPublications(parts.stores.redis)
            watch = parts.keys.watch(publications, rules.keep_seconds, rules.remember_seconds)
            rotation = RotationSchedule(signing_keys(settings, parts.stores), parts.audit, settings.key_lifetime)
            history = History(parts.stores.database, settings.history_retention)
            beside = (watch, rotation.run(), watch_for_standstills(), history.run(), parts.clocks.run())
            noting = (keep_writing(each) for each in parts.notes)
            following, *others = (asyncio.create_task(work) for work in (parts.follower.run(), *beside, *noting))
            cleanup.push_async_callback(_stop, parts, following, others)
            with on_stop_signal(parts.stop, parts.follower.stop_waiting):
                yield

    return lifespan


async def _stop(parts: Parts, following: asyncio.Task[None], others: list[asyncio.Task[None]]) -> None:
    parts.follower.close()
    for task in others:
        task.cancel()
    await asyncio.wait([following, *others], timeout=_STOP_SECONDS)
    following.cancel()
    await asyncio.gather(following, *others, return_exceptions=True)
    for each in parts.notes:
        with suppress(StoreUnavailableError):
            await each.flush()


async def require_usable(settings: Settings, stores: Stores) -> None:
    """Raises `ConfigurationError` with one sentence for each store that this server cannot or must not run on."""
    found = (await _sql_problem(settings, stores), await _redis_problem(settings, stores))
    if problems := [problem for problem in found if problem]:
        raise ConfigurationError(problems)


async def _sql_problem(settings: Settings, stores: Stores) -> str:
    try:
        if problem := (await tables_of(stores.database)).problem_for():
            return problem
        if settings.mode == "serve":
            async with stores.database.read() as session:
                demo = await Registrations(session).demo_rows()
            if demo:
                return f"The database holds demo rows ({', '.join(demo)}); start from an empty one."
    except StoreUnavailableError as error:
        return f"The database at IDENTITY_DATABASE_URL cannot be reached ({error})."
    return ""


async def _redis_problem(settings: Settings, stores: Stores) -> str:
    try:
        await require_suitable(stores.redis)
        if settings.mode == "serve":
            await require_owner(stores.redis, settings.issuer)
    except UnsuitableRedisError as error:
        return str(error)
    except StoreUnavailableError as error:
        return f"The Redis at IDENTITY_REDIS_URL cannot be reached ({error})."
    return ""
