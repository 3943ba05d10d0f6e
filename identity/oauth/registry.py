"""What the protocol knows of clients and resources: frozen pictures of the registered rows, parsed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client as registered. `secret_hashes` are SHA-256 of random 256-bit secrets; none means a public client."""

    client_id: str
    secret_hashes: tuple[bytes, ...]
    grant_types: frozenset[str]
    scopes: frozenset[str]
    default_resource: str | None
    rotates_refresh_tokens: bool
    is_enabled: bool

    @property
    def is_public(self) -> bool:
        """Whether the client cannot keep a secret and has none."""
        return not self.secret_hashes


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """A service that verifies tokens: `identifier` is what their `aud` says (RFC 8707)."""

    name: str
    identifier: str
    scopes: frozenset[str]
    token_type: str
    secret_hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Resources:
    """All resources, found by identifier, by name and by the scopes they own."""

    by_identifier: dict[str, ProtectedResource]
    by_name: dict[str, ProtectedResource]

    @classmethod
    def of(cls, resources: list[ProtectedResource]) -> Resources:
        """Indexes `resources`."""
        return cls({each.identifier: each for each in resources}, {each.name: each for each in resources})

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope some resource owns."""
        return frozenset().union(*(each.scopes for each in self.by_name.values()))


@dataclass(frozen=True, slots=True)
class Person:
    """A person as far as tokens are concerned: may they have any, and which scopes do their roles permit?"""

    subject: str
    is_enabled: bool
    scopes: frozenset[str]
    roles: tuple[str, ...]


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

    async def resources(self) -> Resources:
        """Returns all resources."""

    async def api_key(self, key_id: str, secret_hash: bytes) -> RegisteredApiKey | None:
        """Returns the API key with this id and secret, revoked and expired ones included, or None: an unknown id and a wrong
        secret cost the same."""

    async def origins(self) -> frozenset[str]:
        """Returns the web origins from which some enabled client may call (CORS)."""
