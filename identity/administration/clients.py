"""Clients: programs that ask for tokens."""

from __future__ import annotations

from collections.abc import Sequence

from identity.administration.errors import AdministrationError
from identity.administration.roles import known_scopes
from identity.administration.transactions import operator_change
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent, Client
from identity.oauth.client_authentication import hash_secret, new_secret
from identity.oauth.errors import InvalidClientMetadata
from identity.oauth.registration.new_client import NewClient
from identity.store.sql.change import SqlChange
from identity.verifier.profile import RuleKind

_SECRETS_AT_ONCE = 2


class Clients:
    """What an operator can do with clients."""

    def __init__(self, ledger: Ledger[SqlChange], actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    async def create(self, new: NewClient) -> tuple[Client, str | None]:
        """Registers a client; returns it with its secret, which is shown only now (None where it proves who it is
        in another way)."""
        new = _completed(new)
        secret = new_secret() if new.has_secret else None
        async with operator_change(self._ledger) as change:
            if await change.registrations.client(new.client_id) is not None:
                raise AdministrationError(f"There is already a client {new.client_id!r}.")
            if new.default_resource and await change.registrations.resource(new.default_resource) is None:
                raise AdministrationError(f"There is no resource {new.default_resource!r}.")
            client = new.row(await known_scopes(change, new.scopes), secret)
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
                raise AdministrationError(f"The client {client_id!r} does not prove who it is by a secret.")
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


def _completed(new: NewClient) -> NewClient:
    try:
        return new.completed()
    except InvalidClientMetadata as error:
        raise AdministrationError(error.description) from None


async def _find(change: SqlChange, client_id: str) -> Client:
    client = await change.registrations.client(client_id)
    if client is None:
        raise AdministrationError(f"There is no client {client_id!r}.")
    return client
