"""Dynamic client registration (RFC 7591; OpenID Connect Dynamic Client Registration): clients that register themselves."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from identity.feed.ledger import Ledger
from identity.keyring.live import LiveKeys
from identity.models import AuditEvent
from identity.oauth.client_authentication import hash_secret, new_secret
from identity.oauth.errors import InvalidClientMetadata, InvalidToken, TooManyAttempts, UnapprovedStatement
from identity.oauth.registration.client_metadata import read_client_metadata, write_client_metadata
from identity.oauth.registration.new_client import NewClient, require_https
from identity.oauth.registration.policy import RegistrationPolicy
from identity.oauth.registry import Registry
from identity.oauth.scopes import SERVER_SCOPES
from identity.outbound.client import Outbound
from identity.outbound.errors import OutboundError
from identity.verifier.compact import strict_json_object
from identity.verifier.profile import ALGORITHM

_CLIENT_ID_BYTES = 16
_MOST_SECTOR_BYTES = 64 * 1024
_SECTOR_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """A request to the registration endpoint (RFC 7591 section 3.1). `token` is the initial access token, unverified; None if
    the client was not invited. `document` is as it came."""

    token: str | None = field(repr=False)
    document: bytes
    address: str


class RegistrationThrottle(Protocol):
    """Counts registrations by address, atomically and before they are looked at."""

    async def admit(self, address: str) -> int:
        """Counts one; returns 0, or the seconds until this address may try again."""


@dataclass(frozen=True, slots=True)
class Registration:
    """Registers clients that come by themselves: never trusted, so that people are always asked, and within a policy. Whoever
    was not invited is let in if `is_open`, not too often. `subject_types` are those that this server can give."""

    registry: Registry
    ledger: Ledger[Any]
    throttle: RegistrationThrottle
    outbound: Outbound
    keys: LiveKeys
    is_open: bool
    subject_types: Collection[str]

    async def register(self, request: RegistrationRequest) -> Mapping[str, object]:
        """Returns what was registered, and the client's secret, which is shown only now (RFC 7591 section 3.2.1). Raises
        `InvalidToken`, `TooManyAttempts`, or `InvalidClientMetadata`, and then no use of the invitation is used up."""
        policy = await self._policy(request)
        said = _document(request)
        new = read_client_metadata(said).client(secrets.token_hex(_CLIENT_ID_BYTES), is_dynamic=True)
        new = await self._checked(new, policy, said.get("sector_identifier_uri"))
        secret = new_secret() if new.has_secret else None
        await self._store(request, new, secret)
        sector = {"sector_identifier_uri": said["sector_identifier_uri"]} if said.get("sector_identifier_uri") else {}
        shown = {} if secret is None else {"client_secret": secret, "client_secret_expires_at": 0}
        return {
            "client_id": new.client_id,
            "client_id_issued_at": int(time.time()),
            **shown,
            **write_client_metadata(replace(new, name=new.name or new.client_id)),
            **sector,
        }

    async def _policy(self, request: RegistrationRequest) -> RegistrationPolicy:
        if request.token is not None:
            policy = await self.registry.registration_policy(_hash(request.token))
            if policy is None:
                raise _no_invitation()
            return RegistrationPolicy.read(policy)
        if not self.is_open:
            raise InvalidToken("The request needs an initial access token.")
        if wait := await self.throttle.admit(request.address):
            raise TooManyAttempts("Too many clients were registered from this address.", retry_after=wait)
        return RegistrationPolicy()

    async def _checked(self, asked: NewClient, policy: RegistrationPolicy, sector_uri: object) -> NewClient:
        known = (await self.registry.resources()).scopes | SERVER_SCOPES
        # Where the sector is said elsewhere, that is looked at last: a stranger has us fetch nothing for a wrong document.
        sector = _host_of(sector_uri) if sector_uri is not None else ""
        new = policy.within(replace(asked, sector=sector).completed(), known)
        if new.subject_type not in self.subject_types:
            raise InvalidClientMetadata(f"The subject type {new.subject_type} is not supported.")
        signers = self.keys.now.signers
        if not {new.id_token_signing_alg, new.userinfo_signed_response_alg or ALGORITHM} <= set(signers):
            raise InvalidClientMetadata(f"ID tokens and UserInfo are signed with {', '.join(signers)}.")
        if isinstance(sector_uri, str):
            await self._require_sector(sector_uri, new, policy)
        return new

    async def _require_sector(self, uri: str, new: NewClient, policy: RegistrationPolicy) -> None:
        """OpenID Connect Dynamic Client Registration section 5: else a client would name itself into a sector of others, and
        know people by the names that those have for them (A63)."""
        if policy.hosts and new.sector not in policy.hosts:
            raise InvalidClientMetadata("An address is at a host that may not be registered here.")
        try:
            listed = await self.outbound.get_json(uri, _MOST_SECTOR_BYTES, _SECTOR_SECONDS)
        except OutboundError:
            listed = None
        if not isinstance(listed, list):
            raise InvalidClientMetadata("The sector_identifier_uri does not show a list of redirect URIs.")
        if not all(each in listed for each in new.redirect_uris):
            raise InvalidClientMetadata("The sector_identifier_uri does not list every redirect URI.")

    async def _store(self, request: RegistrationRequest, new: NewClient, secret: str | None) -> None:
        """Stores the client and takes one use of the invitation, both or neither. No rule tells of it: no server remembers a
        client that was not there, and strangers must not fill the feed."""

        async def store(change: Any) -> None:
            invitation = ""
            if request.token is not None:
                invitation = await change.registrations.take_invitation(_hash(request.token))
                if invitation is None:
                    raise _no_invitation()
            change.registrations.add(new.row(new.scopes, secret))
            event = AuditEvent(event="client.registered", client_id=new.client_id, detail=invitation)
            event.address = request.address
            change.record(event)

        await self.ledger.perform(store)


def _document(request: RegistrationRequest) -> Mapping[str, object]:
    try:
        said = strict_json_object(request.document)
    except ValueError:
        raise InvalidClientMetadata("The document is not one JSON object without ambiguities.") from None
    if said.get("software_statement") is not None:
        raise UnapprovedStatement("Software statements are not accepted.")
    return said


def _host_of(uri: object) -> str:
    if not isinstance(uri, str):
        raise InvalidClientMetadata("The member sector_identifier_uri is not a string.")
    require_https(uri)
    return urlsplit(uri).hostname or ""


def _hash(token: str) -> str:
    return hash_secret(token).hex()


def _no_invitation() -> InvalidToken:
    return InvalidToken("The initial access token is unknown, used up or expired.")
