"""The password grant (RFC 6749 section 4.3): for first-party clients only, as RFC 9700 section 2.4 advises (A43)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from identity.keyring.live import LiveKeys
from identity.oauth.errors import InvalidRequest
from identity.oauth.grants.pipeline import Asked, Authorization
from identity.oauth.grants.sessions import access_of, identity_of
from identity.oauth.password_authentication import PasswordAuthentication
from identity.oauth.registry import Registry
from identity.oauth.scopes import Granted, cut_by_roles, grant
from identity.tokens.refresh_token import Families, Family, Generation, new_family, write_token


@dataclass(frozen=True, slots=True)
class PasswordGrant:
    """Logs a person in and begins a session. `session_lifetime` is its absolute lifetime in seconds."""

    people: PasswordAuthentication
    registry: Registry
    families: Families
    keys: LiveKeys
    session_lifetime: int
    name: str = "password"

    async def prepare(self, asked: Asked) -> Granted:
        """Checks what the client asks for, before the password is looked at."""
        request = asked.request
        if request.username is None or request.password is None:
            raise InvalidRequest("The parameters username and password are required.")
        granted = grant(request.scopes, request.resources, asked.client, await self.registry.resources())
        return granted.without_offline(request.scopes)

    async def carry_out(self, asked: Asked, prepared: Granted) -> Authorization:
        """Authenticates the person, cuts the scopes by their roles, and stores the family."""
        request = asked.request
        person = await self.people.person(request.username or "", request.password or "", request.address)
        scopes = cut_by_roles(prepared.scopes, asked.request.scopes, person)
        family = self._family(asked, prepared, scopes, person.subject)
        token, signer = None, self.keys.now.signer_for(prepared.resource.signing_alg)
        if "refresh_token" in asked.client.grant_types:
            await self.families.begin(family, signer.kid)
            token = write_token(self.keys.now.authenticator, Generation(family.family, 0))
        access = access_of(family, scopes, prepared.resource, person, asked.revision)
        return Authorization(access, token, signer, identity_of(family, scopes, person))

    def _family(self, asked: Asked, granted: Granted, scopes: tuple[str, ...], subject: str) -> Family:
        now = int(time.time())
        return Family(
            family=new_family(self.keys.now.authenticator),
            subject=subject,
            client_id=asked.client.client_id,
            scopes=scopes,
            audience=granted.resource.identifier,
            auth_time=now,
            authentication_methods=("pwd",),
            revision=asked.revision,
            expires_at=now + self.session_lifetime,
            confirmation=asked.session_confirmation,
        )
