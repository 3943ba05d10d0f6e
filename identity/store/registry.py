"""What is registered, remembered in the process: the token path reads SQL only for what it has not seen yet.

Nothing here expires by time. The revocation feed names what changed, and the follower makes this forget it before it moves
on; so an answer is never older than the head it is used under.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from identity.feed.rules import known_digest
from identity.models import ApiKey, Client, Consent, Resource, Role, User
from identity.oauth.client_keys import read_client_keys
from identity.oauth.registry import (
    Allowed,
    AuthenticationMethod,
    Person,
    ProtectedResource,
    RegisteredApiKey,
    RegisteredClient,
    Resources,
)
from identity.store.sql.engine import Database
from identity.store.sql.journal import has_ended
from identity.store.sql.registrations import Registrations
from identity.store.together import Together
from identity.verifier.profile import RuleKind, rule_digest

T = TypeVar("T")

_REMEMBERED = 10_000
_EVERYTHING = rule_digest(RuleKind.EVERYTHING)
_NO_HASH = bytes(32)
"""The SHA-256 of nothing anyone will find: what an unknown key's secret is compared with."""


class _Memory(Generic[T]):
    """A bounded map that drops what was used longest ago, and never stores an answer that was read before a `forget`."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, T] = OrderedDict()
        self._generation = 0

    async def get(self, key: bytes, read: Callable[[], Awaitable[T | None]]) -> T | None:
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        generation = self._generation
        found = await read()
        # A rule that arrived while SQL was read may be about this very row: then the answer serves this request, whose
        # token is older than the rule, and nobody else.
        if found is not None and generation == self._generation:
            self._known[key] = found
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found

    def forget(self, key: bytes) -> None:
        self._generation += 1
        self._known.pop(key, None)

    def clear(self) -> None:
        self._generation += 1
        self._known.clear()


class RememberingRegistry:
    """Implements `oauth.registry.Registry` over SQL, and `feed.follower.Memory`."""

    def __init__(self, database: Database, issuer: str) -> None:
        self._database = database
        self._issuer = issuer
        self._clients: _Memory[RegisteredClient] = _Memory()
        self._people: _Memory[Person] = _Memory()
        self._api_keys: _Memory[RegisteredApiKey] = _Memory()
        self._resources: _Memory[Resources] = _Memory()
        self._logins: _Memory[bool] = _Memory()
        self._origins: _Memory[frozenset[str]] = _Memory()
        self._unseen_clients = Together(self._read_clients)
        self._unseen_api_keys = Together(self._read_api_keys)

    async def client(self, client_id: str) -> RegisteredClient | None:
        """Returns the client, disabled ones included, or None."""
        digest = known_digest(RuleKind.CLIENT, client_id)
        return await self._clients.get(digest, lambda: self._unseen_clients.get(client_id))

    async def person(self, subject: str) -> Person | None:
        """Returns the person with this subject, disabled ones included, or None."""

        async def read() -> Person | None:
            async with self._database.read() as session:
                registrations = Registrations(session)
                user = await registrations.user(subject)
                if user is None:
                    return None
                roles, consents = await registrations.roles_of(subject), await registrations.consents_of(subject)
                return _person(user, roles, consents)

        return await self._people.get(known_digest(RuleKind.SUBJECT, subject), read)

    async def is_logged_out(self, session_id: str) -> bool:
        """Tells whether a rule ended this login session. That it lives is remembered, until a rule says otherwise; one that
        ended is nothing that anybody asks about often."""

        async def read() -> bool | None:
            async with self._database.read() as session:
                return None if await has_ended(session, RuleKind.SESSION, session_id) else True

        return await self._logins.get(known_digest(RuleKind.SESSION, session_id), read) is None

    async def resources(self) -> Resources:
        """Returns all resources."""

        async def read() -> Resources:
            async with self._database.read() as session:
                rows = await Registrations(session).resources()
            return Resources.of([_resource(row) for row in rows], self._issuer)

        return await self._resources.get(_EVERYTHING, read) or Resources.of([], self._issuer)

    async def api_key(self, key_id: str, secret_hash: bytes) -> RegisteredApiKey | None:
        """Returns the API key with this id and secret, or None. Only a key whose secret was shown is remembered, so a wrong
        one is read like an unknown one: nobody learns by time which ids there are."""

        async def read() -> RegisteredApiKey | None:
            found = await self._unseen_api_keys.get(key_id)
            return found if hmac.compare_digest(found.secret_hash if found else _NO_HASH, secret_hash) else None

        known = await self._api_keys.get(known_digest(RuleKind.GRANT, key_id), read)
        if known is None or hmac.compare_digest(known.secret_hash, secret_hash):
            return known
        return await read()

    async def registration_policy(self, token_hash: str) -> Mapping[str, object] | None:
        """Returns what this initial access token is good for, or None."""
        async with self._database.read() as session:
            row = await Registrations(session).live_invitation(token_hash)
        return row.policy if row else None

    async def origins(self) -> frozenset[str]:
        """Returns the web origins from which some enabled client may call (CORS)."""

        async def read() -> frozenset[str]:
            async with self._database.read() as session:
                clients = await Registrations(session).clients()
            return frozenset(origin for row in clients if row.is_enabled for origin in row.origins)

        return await self._origins.get(_EVERYTHING, read) or frozenset()

    def forget(self, digest: bytes) -> None:
        """Forgets the person, client or API key this digest names; all of them for a rule about everything."""
        if digest == _EVERYTHING:
            self.forget_everything()
            return
        self._people.forget(digest)
        self._clients.forget(digest)
        self._api_keys.forget(digest)
        self._logins.forget(digest)
        self._origins.clear()

    def forget_everything(self) -> None:
        """Forgets all."""
        for memory in (self._clients, self._people, self._api_keys, self._logins, self._resources, self._origins):
            memory.clear()

    async def _read_clients(self, client_ids: Sequence[str]) -> dict[str, RegisteredClient]:
        async with self._database.read() as session:
            rows = await Registrations(session).clients_named(client_ids)
        return {row.client_id: _client(row) for row in rows}

    async def _read_api_keys(self, key_ids: Sequence[str]) -> dict[str, RegisteredApiKey]:
        async with self._database.read() as session:
            rows = await Registrations(session).api_keys_named(key_ids)
        return {row.key_id: _api_key(row) for row in rows}


def _client(row: Client) -> RegisteredClient:
    return RegisteredClient(
        client_id=row.client_id,
        secret_hashes=tuple(bytes.fromhex(each) for each in row.secret_hashes),
        grant_types=frozenset(row.grant_types),
        redirect_uris=tuple(row.redirect_uris),
        post_logout_redirect_uris=tuple(row.post_logout_redirect_uris),
        scopes=frozenset(row.scopes),
        default_resource=row.default_resource,
        rotates_refresh_tokens=row.rotates_refresh_tokens,
        is_enabled=row.is_enabled,
        is_trusted=row.is_trusted,
        name=row.name,
        authentication_method=_method(row),
        keys=read_client_keys(row.jwks),
        jwks_uri=row.jwks_uri,
        certificate_subject=row.certificate_subject,
        accepts_token_endpoint_audience=row.accepts_token_endpoint_audience,
        profile=row.profile,
        requires_pkce=row.requires_pkce,
        requires_pushed_requests=row.requires_pushed_requests,
        requires_signed_requests=row.requires_signed_requests,
        response_modes=frozenset(row.response_modes),
        subject_type=row.subject_type,
        sector=row.sector,
        id_token_signing_alg=row.id_token_signing_alg,
        userinfo_signed_response_alg=row.userinfo_signed_response_alg,
        backchannel_logout_uri=row.backchannel_logout_uri,
        dpop_bound_access_tokens=row.dpop_bound_access_tokens,
        certificate_bound_access_tokens=row.certificate_bound_access_tokens,
        is_dynamic=row.is_dynamic,
    )


def _method(row: Client) -> AuthenticationMethod:
    """Returns how the client proves who it is; rows of before there was a choice do not say."""
    if row.authentication_method:
        return AuthenticationMethod(row.authentication_method)
    return AuthenticationMethod.SECRET if row.secret_hashes else AuthenticationMethod.NONE


def _person(user: User, roles: Sequence[Role], consents: Sequence[Consent]) -> Person:
    return Person(
        subject=user.subject,
        is_enabled=user.is_enabled,
        scopes=frozenset(scope for role in roles for scope in role.scopes),
        roles=tuple(role.name for role in roles),
        claims={"preferred_username": user.username, **user.claims},
        consents={each.client_id: Allowed(frozenset(each.scopes), each.revision) for each in consents},
    )


def _api_key(row: ApiKey) -> RegisteredApiKey:
    return RegisteredApiKey(
        key_id=row.key_id,
        secret_hash=bytes.fromhex(row.secret_hash),
        subject=row.subject,
        client_id=row.client_id,
        resource=row.resource,
        scopes=frozenset(row.scopes),
        revision=row.revision,
        expires_at=int(row.expires_at.timestamp()) if row.expires_at else None,
        is_revoked=row.revoked_at is not None,
    )


def _resource(row: Resource) -> ProtectedResource:
    return ProtectedResource(
        name=row.name,
        identifier=row.identifier,
        scopes=frozenset(row.scopes),
        token_type=row.token_type,
        secret_hashes=tuple(bytes.fromhex(each) for each in row.secret_hashes),
        signing_alg=row.signing_alg,
    )
