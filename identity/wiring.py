"""What is made of what: the parts of one server process, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from identity.accounts.login import Login
from identity.accounts.passwords import Passwords
from identity.administration.keys import SigningKeys
from identity.feed.clocks import Clocks, StoreClock
from identity.feed.follower import Follower
from identity.feed.ledger import Ledger
from identity.installed_keys import high_water, key_place, key_rules, pairwise_key
from identity.keyring.live import LiveKeys
from identity.oauth.api_key_authentication import ApiKeyAuthentication
from identity.oauth.authorization.codes import Codes
from identity.oauth.authorization.consents import ConsentRecords
from identity.oauth.authorization.decision import Authorization
from identity.oauth.authorization.pushed import PushedAuthorization
from identity.oauth.authorization.request_objects import RequestObjects
from identity.oauth.authorization.sign_in import SignIn
from identity.oauth.client_assertions import ClientAssertions
from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.client_jwts import ClientJwts
from identity.oauth.grants.api_key import ApiKeyGrant
from identity.oauth.grants.authorization_code import AuthorizationCodeGrant
from identity.oauth.grants.client_credentials import ClientCredentialsGrant
from identity.oauth.grants.password import PasswordGrant
from identity.oauth.grants.pipeline import Grant, TokenPipeline
from identity.oauth.grants.refresh_token import RefreshTokenGrant
from identity.oauth.grants.sessions import Sessions
from identity.oauth.id_token_hints import IdTokenHints
from identity.oauth.introspection import Introspection
from identity.oauth.live_tokens import LiveTokens
from identity.oauth.logout import Logout
from identity.oauth.logout_delivery import LogoutDelivery
from identity.oauth.logout_everywhere import LogoutEverywhere
from identity.oauth.metadata import TOKEN_PATH
from identity.oauth.password_authentication import PasswordAuthentication
from identity.oauth.person_tokens import PersonTokens
from identity.oauth.presented_token import TokenReader
from identity.oauth.proofs import Proofs, ReplicaNonceKey
from identity.oauth.published_keys import PublishedClientKeys
from identity.oauth.registration.endpoint import Registration
from identity.oauth.revocation import Revocation
from identity.oauth.subjects import Subjects
from identity.oauth.userinfo import UserInfo
from identity.outbound.client import Outbound
from identity.outbound.reach import Reach, read_networks
from identity.settings import Settings
from identity.store.noting import Notes
from identity.store.redis.clock import RedisClock
from identity.store.redis.codes import RedisCodes
from identity.store.redis.connection import (
    RedisConnection,
    connect,
)
from identity.store.redis.families import RedisFamilies
from identity.store.redis.feed import RedisStream
from identity.store.redis.interactions import RedisInteractions
from identity.store.redis.issued import RedisIssueCounts
from identity.store.redis.login_sessions import RedisLoginSessions
from identity.store.redis.participants import RedisParticipants
from identity.store.redis.publications import RedisPublications
from identity.store.redis.pushed import RedisPushedRequests
from identity.store.redis.replays import RedisReplays
from identity.store.redis.throttle import RedisRegistrationThrottle, RedisThrottle
from identity.store.redis.verifiers import RedisVerifiers
from identity.store.registry import RememberingRegistry
from identity.store.sql.accounts import SqlAccounts
from identity.store.sql.api_key_uses import ApiKeyUses
from identity.store.sql.audit import AuditTrail
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.clock import SqlClock
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.store.sql.logout_notices import SqlLogoutNotices
from identity.tokens.access_token import AccessTokenMint
from identity.tokens.id_token import IdTokenMint
from identity.tokens.logout_token import LogoutTokenMint
from identity.verifier.certificates import CertificateHeader
from identity.verifier.nonces import Nonces
from identity.web.addresses import ClientAddress
from identity.web.branding import Branding
from identity.web.services import Browsers, Services
from identity.web.stopping import Stop

_INTERACTION_SECONDS = 1800.0
"""How long a person may take to log in."""

_PUSHED_SECONDS = 60
"""How long a pushed request waits for its browser: a redirect, on a slow line."""

_REGISTRATIONS = 20
"""Clients that whoever was not invited may register from one address in a quarter of an hour."""


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


def services_of(parts: Parts) -> Services:
    """Returns everything the endpoints use."""
    settings, stores, keys, follower = parts.settings, parts.stores, parts.keys, parts.follower
    jwts = ClientJwts(PublishedClientKeys(parts.outbound))
    replays = RedisReplays(stores.redis)
    assertions = ClientAssertions(settings.issuer, settings.issuer + TOKEN_PATH, jwts, replays)
    authentication = ClientAuthentication(parts.registry, assertions, settings.default_client)
    codes = RedisCodes(stores.redis, stores.families, settings.code_lifetime, settings.token_horizon)
    nonces = Nonces(ReplicaNonceKey(keys)) if settings.dpop_nonce else None
    proofs = Proofs(settings.issuer, replays, nonces)
    live_tokens = LiveTokens(follower, keys, settings.issuer)
    person_tokens = PersonTokens(live_tokens, parts.registry, proofs)
    return Services(
        settings=settings,
        keys=keys,
        follower=follower,
        authentication=authentication,
        tokens=_pipeline(parts, authentication, codes, proofs),
        revocation=Revocation(authentication, parts.sessions, TokenReader(stores.families, keys, settings.issuer)),
        introspection=Introspection(authentication, live_tokens),
        userinfo=UserInfo(person_tokens, parts.registry, parts.subjects, keys, settings.issuer),
        logout_everywhere=LogoutEverywhere(person_tokens, parts.registry, stores.ledger),
        subjects=parts.subjects,
        registration=_registration(parts),
        browsers=_browsers(parts, codes, authentication, jwts, proofs),
        branding=Branding.of(settings),
        address=ClientAddress(settings.trusted_proxies),
        registry=parts.registry,
        verifiers=RedisVerifiers(stores.redis),
        clocks=parts.clocks,
        audit=parts.audit,
        stop=parts.stop,
        certificates=_certificates(settings),
    )


def _pipeline(parts: Parts, authentication: ClientAuthentication, codes: Codes, proofs: Proofs) -> TokenPipeline:
    settings, follower, keys = parts.settings, parts.follower, parts.keys
    return TokenPipeline(
        authentication,
        ApiKeyAuthentication(parts.registry),
        _grants(parts, codes),
        follower,
        keys,
        AccessTokenMint(settings.issuer, settings.access_token_lifetime),
        IdTokenMint(settings.issuer, settings.access_token_lifetime),
        parts.subjects,
        parts.audit,
        parts.issued,
        proofs,
    )


def _registration(parts: Parts) -> Registration | None:
    """Returns what registers clients that come by themselves, if any may."""
    settings, throttle = parts.settings, RedisRegistrationThrottle(parts.stores.redis, _REGISTRATIONS)
    if settings.registration == "closed":
        return None
    is_open, types = settings.registration == "open", parts.subjects.types
    return Registration(parts.registry, parts.stores.ledger, throttle, parts.outbound, parts.keys, is_open, types)


def _certificates(settings: Settings) -> CertificateHeader | None:
    header = settings.client_certificate_header
    return CertificateHeader(header, settings.trusted_proxies) if header else None


def _grants(parts: Parts, codes: Codes) -> Sequence[Grant]:
    registry, families, follower, keys = parts.registry, parts.stores.families, parts.follower, parts.keys
    return (
        AuthorizationCodeGrant(registry, codes, parts.sessions, follower, keys),
        PasswordGrant(parts.people, registry, families, keys, parts.settings.refresh_absolute_lifetime),
        RefreshTokenGrant(registry, families, parts.sessions, parts.stores.journal, follower, keys, parts.audit),
        ClientCredentialsGrant(registry),
        ApiKeyGrant(registry, parts.uses),
    )


def _browsers(
    parts: Parts, codes: Codes, authentication: ClientAuthentication, jwts: ClientJwts, proofs: Proofs
) -> Browsers:
    settings, redis, participants = parts.settings, parts.stores.redis, parts.stores.participants
    sessions = RedisLoginSessions(redis, settings.login_idle_lifetime)
    lifetime = settings.refresh_absolute_lifetime
    hints = IdTokenHints(parts.keys, settings.issuer, parts.registry, parts.subjects)
    return Browsers(
        Authorization(
            settings.issuer,
            parts.registry,
            parts.follower,
            parts.keys,
            hints,
            codes,
            parts.subjects,
            lifetime,
            participants,
        ),
        PushedAuthorization(
            authentication,
            parts.registry,
            RequestObjects(settings.issuer, parts.registry, jwts),
            RedisPushedRequests(redis),
            _PUSHED_SECONDS,
            proofs,
        ),
        RedisInteractions(redis, _INTERACTION_SECONDS),
        sessions,
        SignIn(parts.people, sessions, parts.follower, parts.audit, settings.login_absolute_lifetime),
        ConsentRecords(parts.stores.ledger, parts.follower),
        Logout(parts.registry, hints, sessions, parts.stores.ledger),
    )


def logout_delivery(parts: Parts) -> LogoutDelivery:
    """Returns what tells clients of logins that ended."""
    notices, mint = SqlLogoutNotices(parts.stores.database), LogoutTokenMint(parts.settings.issuer)
    return LogoutDelivery(notices, parts.registry, parts.keys, mint, parts.outbound, parts.audit)


def signing_keys(settings: Settings, stores: Stores) -> SigningKeys:
    """Returns what operators, and the schedule, do with keys."""
    publications, verifiers = RedisPublications(stores.redis), RedisVerifiers(stores.redis)
    return SigningKeys(key_place(settings, stores.database), key_rules(settings), publications, verifiers)


def clocks_of(stores: Stores) -> dict[str, StoreClock]:
    """Returns the clocks that this machine's must agree with."""
    return {"the database": SqlClock(stores.database), "Redis": RedisClock(stores.redis)}
