"""Clients: programs that ask for tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from identity.administration.errors import AdministrationError
from identity.administration.resources import new_secret
from identity.administration.roles import known_scopes
from identity.administration.transactions import operator_change
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent, Client
from identity.oauth.client_authentication import hash_secret
from identity.oauth.redirect_uris import problem_with
from identity.store.sql.change import SqlChange
from identity.verifier.profile import RuleKind

_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials", "password")
_SECRETS_AT_ONCE = 2
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client to be registered. A public one has no secret and may not speak for itself."""

    client_id: str
    grant_types: Sequence[str]
    scopes: Sequence[str] = ()
    name: str = ""
    is_public: bool = False
    default_resource: str | None = None
    origins: Sequence[str] = ()
    redirect_uris: Sequence[str] = ()
    post_logout_redirect_uris: Sequence[str] = ()
    rotates_refresh_tokens: bool = True
    is_trusted: bool = False


class Clients:
    """What an operator can do with clients."""

    def __init__(self, ledger: Ledger[SqlChange], actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    async def create(self, new: NewClient) -> tuple[Client, str | None]:
        """Registers a client; returns it with its secret, which is shown only now (None for a public client)."""
        _require_acceptable(new)
        secret = None if new.is_public else new_secret()
        async with operator_change(self._ledger) as change:
            if await change.registrations.client(new.client_id) is not None:
                raise AdministrationError(f"There is already a client {new.client_id!r}.")
            if new.default_resource and await change.registrations.resource(new.default_resource) is None:
                raise AdministrationError(f"There is no resource {new.default_resource!r}.")
            client = _row(new, await known_scopes(change, new.scopes), secret)
            change.registrations.add(client)
            # Nobody remembers a client that was not there, but every server remembers which origins may call.
            change.revoke(Rule.changed(RuleKind.CLIENT, new.client_id))
            self._record(change, "client.created", new.client_id)
            return client, secret

    async def list(self) -> Sequence[Client]:
        """Returns all clients, by id."""
        async with operator_change(self._ledger) as change:
            return await change.registrations.clients()

    async def disable(self, client_id: str) -> None:
        """Ends everything issued to the client, for itself or for people, and issues nothing more."""
        async with operator_change(self._ledger) as change:
            client = await _find(change, client_id)
            client.is_enabled = False
            change.revoke(Rule.ending(RuleKind.CLIENT, client_id))
            self._record(change, "client.disabled", client_id)

    async def enable(self, client_id: str) -> None:
        """Lets the client ask again; what was ended stays ended."""
        async with operator_change(self._ledger) as change:
            client = await _find(change, client_id)
            client.is_enabled = True
            change.revoke(Rule.changed(RuleKind.CLIENT, client_id))
            self._record(change, "client.enabled", client_id)

    async def end_sessions(self, client_id: str) -> None:
        """Ends every session and every access token issued to the client."""
        async with operator_change(self._ledger) as change:
            await _find(change, client_id)
            change.revoke(Rule.ending(RuleKind.CLIENT, client_id))
            self._record(change, "client.sessions_ended", client_id)

    async def add_secret(self, client_id: str) -> str:
        """Returns a new secret; the one before stays good until the next is added, so services can change over (A32)."""
        secret = new_secret()
        async with operator_change(self._ledger) as change:
            client = await _find(change, client_id)
            if not client.secret_hashes:
                raise AdministrationError(f"The client {client_id!r} is public; it has no secret.")
            client.secret_hashes = [hash_secret(secret).hex(), *client.secret_hashes][:_SECRETS_AT_ONCE]
            change.revoke(Rule.changed(RuleKind.CLIENT, client_id))
            self._record(change, "client.secret_added", client_id)
        return secret

    async def allow_origin(self, client_id: str, origin: str) -> None:
        """Lets web pages of `origin` call for the client (CORS); nothing happens if they may already."""
        async with operator_change(self._ledger) as change:
            client = await _find(change, client_id)
            if origin in client.origins:
                return
            client.origins = sorted({*client.origins, origin})
            change.revoke(Rule.changed(RuleKind.CLIENT, client_id))
            self._record(change, "client.origin_allowed", client_id)

    def _record(self, change: SqlChange, event: str, client_id: str) -> None:
        change.record(AuditEvent(event=event, actor=self._actor, client_id=client_id))


async def _find(change: SqlChange, client_id: str) -> Client:
    client = await change.registrations.client(client_id)
    if client is None:
        raise AdministrationError(f"There is no client {client_id!r}.")
    return client


def _row(new: NewClient, scopes: list[str], secret: str | None) -> Client:
    return Client(
        client_id=new.client_id,
        name=new.name or new.client_id,
        secret_hashes=[hash_secret(secret).hex()] if secret else [],
        grant_types=sorted(set(new.grant_types)),
        scopes=scopes,
        origins=sorted(set(new.origins)),
        redirect_uris=sorted(set(new.redirect_uris)),
        post_logout_redirect_uris=sorted(set(new.post_logout_redirect_uris)),
        default_resource=new.default_resource,
        rotates_refresh_tokens=new.rotates_refresh_tokens,
        is_trusted=new.is_trusted,
    )


def _require_acceptable(new: NewClient) -> None:
    if not _CLIENT_ID.fullmatch(new.client_id):
        raise AdministrationError("A client id has letters, digits, dots, dashes and underscores, at most 128.")
    if len(new.name) > _MAX_NAME or not new.name.isprintable():
        raise AdministrationError(f"A client's name has at most {_MAX_NAME} printable characters.")
    if unknown := sorted(set(new.grant_types) - set(GRANT_TYPES)):
        raise AdministrationError(f"There is no grant type {unknown[0]!r}; there are {', '.join(GRANT_TYPES)}.")
    if new.is_public and "client_credentials" in new.grant_types:
        raise AdministrationError("A public client cannot use client_credentials: it cannot prove who it is.")
    if new.is_public and not new.rotates_refresh_tokens:
        raise AdministrationError("A public client's refresh tokens must rotate (RFC 9700 section 4.14.2).")
    if ("authorization_code" in new.grant_types) is not bool(new.redirect_uris):
        raise AdministrationError("A client has redirect URIs if, and only if, it uses authorization_code.")
    for uri in (*new.redirect_uris, *new.post_logout_redirect_uris):
        if problem := problem_with(uri):
            raise AdministrationError(f"The redirect URI {uri!r} {problem}.")
    for origin in new.origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
            raise AdministrationError(f"{origin!r} is not a web origin such as https://app.example.com.")
