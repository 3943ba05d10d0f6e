"""What the protocol knows of clients and resources: frozen pictures of the registered rows, parsed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from identity.oauth.client_keys import ClientKey
from identity.oauth.metadata import USERINFO_PATH
from identity.verifier.profile import ACCESS_TOKEN_TYPE

FAPI = "fapi2"
"""The FAPI 2.0 security profile, as a client names it."""


class AuthenticationMethod(StrEnum):
    """How a client proves who it is (RFC 7591 section 2, RFC 8705 section 2.1.1)."""

    NONE = "none"
    SECRET_BASIC = "client_secret_basic"
    SECRET_POST = "client_secret_post"
    PRIVATE_KEY_JWT = "private_key_jwt"
    TLS_CLIENT_AUTH = "tls_client_auth"
    SECRET = "client_secret"
    """Either way of sending a secret: clients that were registered before there was a choice."""


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client as registered; see `models/client.py`. `secret_hashes` are SHA-256 of random 256-bit secrets."""

    client_id: str
    secret_hashes: tuple[bytes, ...]
    grant_types: frozenset[str]
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    scopes: frozenset[str]
    default_resource: str | None
    rotates_refresh_tokens: bool
    is_enabled: bool
    is_trusted: bool
    name: str
    authentication_method: AuthenticationMethod = AuthenticationMethod.NONE
    keys: tuple[ClientKey, ...] = ()
    jwks_uri: str = ""
    certificate_subject: str = ""
    accepts_token_endpoint_audience: bool = False
    profile: str = ""
    requires_pkce: bool = True
    requires_pushed_requests: bool = False
    requires_signed_requests: bool = False
    response_modes: frozenset[str] = frozenset()
    subject_type: str = "public"
    sector: str = ""
    id_token_signing_alg: str = "RS256"
    userinfo_signed_response_alg: str = ""
    backchannel_logout_uri: str = ""
    dpop_bound_access_tokens: bool = False
    certificate_bound_access_tokens: bool = False
    is_dynamic: bool = False

    @property
    def is_public(self) -> bool:
        """Whether the client has nothing to prove with who it is."""
        return self.authentication_method is AuthenticationMethod.NONE


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """A service that verifies tokens: `identifier` is what their `aud` says (RFC 8707)."""

    name: str
    identifier: str
    scopes: frozenset[str]
    token_type: str
    secret_hashes: tuple[bytes, ...]
    signing_alg: str = "RS256"


@dataclass(frozen=True, slots=True)
class Resources:
    """All resources, found by identifier, by name and by the scopes they own. `userinfo` is the server's own: it owns no scope,
    has no name, and is what a token is for that asks for nobody else."""

    by_identifier: dict[str, ProtectedResource]
    by_name: dict[str, ProtectedResource]
    userinfo: ProtectedResource

    @classmethod
    def of(cls, resources: list[ProtectedResource], issuer: str) -> Resources:
        """Indexes `resources`, and the server's own."""
        own = ProtectedResource("", issuer + USERINFO_PATH, frozenset(), ACCESS_TOKEN_TYPE, ())
        by_identifier = {each.identifier: each for each in (*resources, own)}
        return cls(by_identifier, {each.name: each for each in resources}, own)

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope some resource owns."""
        return frozenset().union(*(each.scopes for each in self.by_name.values()))


@dataclass(frozen=True, slots=True)
class Allowed:
    """The scopes that a person allows a client, since rule `revision`."""

    scopes: frozenset[str]
    revision: int


@dataclass(frozen=True, slots=True)
class Person:
    """A person as far as tokens are concerned: may they have any, and which scopes do their roles permit? `claims` is what
    UserInfo may tell of them; `consents` is what they allowed, by client."""

    subject: str
    is_enabled: bool
    scopes: frozenset[str]
    roles: tuple[str, ...]
    claims: Mapping[str, object]
    consents: Mapping[str, Allowed]

    def allows(self, client: RegisteredClient) -> frozenset[str]:
        """Returns the scopes that the client may have without asking."""
        allowed = self.consents.get(client.client_id)
        return client.scopes if client.is_trusted else allowed.scopes if allowed else frozenset()


@dataclass(frozen=True, slots=True)
class RegisteredApiKey:
    """An API key as registered: of a person (`subject`) or of a client (`client_id`), for one resource, by name.

    `revision` is the feed head it was made under; `expires_at` is Unix seconds.
    """

    key_id: str
    secret_hash: bytes
    subject: str | None
    client_id: str | None
    resource: str
    scopes: frozenset[str]
    revision: int
    expires_at: int | None
    is_revoked: bool


class Registry(Protocol):
    """Finds what is registered. Answers come from memory once seen; the revocation feed says when to look again."""

    async def client(self, client_id: str) -> RegisteredClient | None:
        """Returns the client, disabled ones included, or None."""

    async def person(self, subject: str) -> Person | None:
        """Returns the person with this subject, disabled ones included, or None."""

    async def is_logged_out(self, session_id: str) -> bool:
        """Tells whether this login session was ended, by logging out or by an operator, however long ago."""

    async def resources(self) -> Resources:
        """Returns all resources."""

    async def api_key(self, key_id: str, secret_hash: bytes) -> RegisteredApiKey | None:
        """Returns the API key with this id and secret, revoked and expired ones included, or None: an unknown id and a wrong
        secret cost the same."""

    async def registration_policy(self, token_hash: str) -> Mapping[str, object] | None:
        """Returns what the initial access token with this hash lets clients be registered with, or None if it is unknown, used
        up or expired. Never from memory: the last use of it may have been taken a moment ago."""

    async def origins(self) -> frozenset[str]:
        """Returns the web origins from which some enabled client may call (CORS)."""
