"""The API key grant (an extension grant, RFC 6749 section 4.5): a key that lives long for a token that does not.

The key is the credential, so there is no refresh token: who holds it exchanges it again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from identity.oauth.api_key_authentication import refused_key
from identity.oauth.grants.pipeline import Asked, Authorization
from identity.oauth.registry import Person, ProtectedResource, RegisteredApiKey, Registry
from identity.oauth.scopes import ROLES_SCOPE, cut_by_roles, grant
from identity.tokens.access_token import AccessTokenGrant
from identity.verifier.profile import API_KEY_GRANT, client_subject


class KeyUses(Protocol):
    """Remembers when keys were used; never waits, never fails."""

    def note(self, key_id: str) -> None:
        """Notes that the key was used now."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An exchange whose every check has passed. `person` is absent for the key of a client."""

    key: RegisteredApiKey
    subject: str
    person: Person | None
    resource: ProtectedResource
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiKeyGrant:
    """Exchanges an API key, which phase 1 has authenticated, for an access token: no SQL once key and owner are known."""

    registry: Registry
    uses: KeyUses
    name: str = API_KEY_GRANT

    async def prepare(self, asked: Asked) -> Prepared:
        """Checks key and owner, and cuts the key's scopes by what was asked and by what the owner may have now (A41, A48)."""
        key, request = asked.key, asked.request
        assert key is not None  # the pipeline presents no request without one to this grant
        subject = key.subject or client_subject(asked.client.client_id)
        person = await self.registry.person(key.subject) if key.subject else None
        owner = person if key.subject else asked.client
        if owner is None or not owner.is_enabled:
            raise refused_key("disabled", subject)
        # The rules of the picture count even where the row that is remembered is older than they are.
        if key.is_revoked or asked.picture.has_ended(key.key_id, subject, asked.client.client_id, key.revision):
            raise refused_key("revoked", subject)
        if key.expires_at is not None and time.time() >= key.expires_at:
            raise refused_key("expired", subject)
        wanted = request.scopes or tuple(sorted(asked.client.scopes))
        granted = grant(wanted, request.resources, asked.client, await self.registry.resources())
        scopes = cut_by_roles(granted.scopes, request.scopes, person) if person else granted.scopes
        return Prepared(key, subject, person, granted.resource, scopes)

    async def carry_out(self, asked: Asked, prepared: Prepared) -> Authorization:
        """Notes the use, which cannot fail."""
        self.uses.note(prepared.key.key_id)
        roles = prepared.person.roles if prepared.person and ROLES_SCOPE in prepared.scopes else None
        return Authorization(
            AccessTokenGrant(
                subject=prepared.subject,
                client_id=asked.client.client_id,
                audience=prepared.resource.identifier,
                token_type=prepared.resource.token_type,
                algorithm=prepared.resource.signing_alg,
                scopes=prepared.scopes,
                revision=asked.revision,
                grant_id=prepared.key.key_id,
                expires_at=prepared.key.expires_at,
                roles=roles,
            )
        )
