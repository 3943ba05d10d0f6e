"""What the endpoints use, made of the parts."""

from __future__ import annotations

from collections.abc import Sequence

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
from identity.oauth.id_token_hints import IdTokenHints
from identity.oauth.introspection import Introspection
from identity.oauth.live_tokens import LiveTokens
from identity.oauth.logout import Logout
from identity.oauth.logout_delivery import LogoutDelivery
from identity.oauth.logout_everywhere import LogoutEverywhere
from identity.oauth.metadata import TOKEN_PATH
from identity.oauth.person_tokens import PersonTokens
from identity.oauth.presented_token import TokenReader
from identity.oauth.proofs import Proofs, ReplicaNonceKey
from identity.oauth.published_keys import PublishedClientKeys
from identity.oauth.registration.endpoint import Registration
from identity.oauth.revocation import Revocation
from identity.oauth.userinfo import UserInfo
from identity.settings import Settings
from identity.store.redis.codes import RedisCodes
from identity.store.redis.interactions import RedisInteractions
from identity.store.redis.login_sessions import RedisLoginSessions
from identity.store.redis.pushed import RedisPushedRequests
from identity.store.redis.replays import RedisReplays
from identity.store.redis.throttle import RedisRegistrationThrottle
from identity.store.redis.verifiers import RedisVerifiers
from identity.store.sql.logout_notices import SqlLogoutNotices
from identity.tokens.access_token import AccessTokenMint
from identity.tokens.id_token import IdTokenMint
from identity.tokens.logout_token import LogoutTokenMint
from identity.verifier.certificates import CertificateHeader
from identity.verifier.nonces import Nonces
from identity.web.addresses import ClientAddress
from identity.web.branding import Branding
from identity.web.services import Browsers, Services
from identity.wiring.parts import Parts

_INTERACTION_SECONDS = 1800.0
"""How long a person may take to log in."""

_PUSHED_SECONDS = 60
"""How long a pushed request waits for its browser: a redirect, on a slow line."""

_REGISTRATIONS = 20
"""Clients that whoever was not invited may register from one address in a quarter of an hour."""


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
    return LogoutDelivery(notices, parts.registry, parts.keys, parts.subjects, mint, parts.outbound, parts.audit)
