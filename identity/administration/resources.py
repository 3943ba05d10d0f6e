"""Resources: services that verify tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from identity.administration.errors import AdministrationError
from identity.administration.roles import well_formed_scopes
from identity.administration.transactions import operator_change
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent, Resource
from identity.oauth.client_authentication import hash_secret, new_secret
from identity.oauth.scopes import SERVER_SCOPES
from identity.store.sql.change import SqlChange
from identity.verifier import profile
from identity.verifier.profile import RuleKind

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ResourceServices:
    """What an operator can do with resources."""

    def __init__(self, ledger: Ledger[SqlChange], actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    async def create(
        self,
        name: str,
        identifier: str,
        scopes: Sequence[str],
        token_type: str = profile.ACCESS_TOKEN_TYPE,
        signing_alg: str = profile.ALGORITHM,
    ) -> tuple[Resource, str]:
        """Registers a service; returns it with the secret that opens the revocation feed to it, shown only now. Whether a key
        signs with `signing_alg` is for `SigningKeys.require_signing` to say."""
        _require_identifier(name, identifier, token_type)
        if signing_alg not in profile.ALGORITHMS:
            raise AdministrationError(
                f"There is no algorithm {signing_alg!r}; there are {', '.join(profile.ALGORITHMS)}."
            )
        secret = new_secret()
        async with operator_change(self._ledger) as change:
            await _require_new(change, name, identifier, well_formed_scopes(scopes))
            row = Resource(
                name=name,
                identifier=identifier,
                scopes=sorted(set(scopes)),
                token_type=token_type,
                signing_alg=signing_alg,
                secret_hashes=[hash_secret(secret).hex()],
            )
            change.registrations.add(row)
            change.revoke(Rule.changed(RuleKind.EVERYTHING))
            change.record(AuditEvent(event="resource.created", actor=self._actor, detail=name))
            return row, secret

    async def list(self) -> Sequence[Resource]:
        """Returns all resources, by name."""
        async with operator_change(self._ledger) as change:
            return await change.registrations.resources()


def _require_identifier(name: str, identifier: str, token_type: str) -> None:
    if not _NAME.fullmatch(name):
        raise AdministrationError("A resource's name has letters, digits, dots, dashes and underscores, at most 64.")
    parts = urlsplit(identifier)
    if not parts.scheme or not (parts.netloc or parts.path) or "#" in identifier or not identifier.isprintable():
        raise AdministrationError("A resource's identifier is an absolute URI without a fragment (RFC 8707).")
    if " " in identifier or len(identifier) > 512:
        raise AdministrationError("A resource's identifier has no spaces and at most 512 characters.")
    if token_type not in (profile.ACCESS_TOKEN_TYPE, profile.LEGACY_TOKEN_TYPE):
        raise AdministrationError("A resource's token type is at+jwt, or JWT for an old verifier.")


async def _require_new(change: SqlChange, name: str, identifier: str, scopes: Sequence[str]) -> None:
    for other in await change.registrations.resources():
        if other.name == name or other.identifier == identifier:
            raise AdministrationError(f"There is already a resource {other.name!r} with identifier {other.identifier}.")
        if shared := set(other.scopes) & set(scopes):
            raise AdministrationError(f"The scope {sorted(shared)[0]!r} belongs to the resource {other.name!r}.")
    if reserved := SERVER_SCOPES & set(scopes):
        raise AdministrationError(f"The scope {sorted(reserved)[0]!r} belongs to the server.")
