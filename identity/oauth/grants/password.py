"""The password grant (RFC 6749 section 4.3): for first-party clients only, as RFC 9700 section 2.4 advises (A43)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from identity.accounts.login import Login, TooManyAttemptsError, WrongCredentialsError
from identity.accounts.passwords import TooBusyError
from identity.keyring.live import LiveKeys
from identity.oauth.errors import InvalidGrant, InvalidRequest, TemporarilyUnavailable, TooManyAttempts
from identity.oauth.grants.pipeline import Asked, Authorization
from identity.oauth.grants.sessions import access_of
from identity.oauth.registry import Person, Registry
from identity.oauth.scopes import Granted, cut_by_roles, grant
from identity.tokens.refresh_token import Families, Family, Generation, new_family, write_token


@dataclass(frozen=True, slots=True)
class PasswordGrant:
    """Logs a person in and begins a session. `session_lifetime` is its absolute lifetime in seconds."""

    login: Login
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
        return grant(request.scopes, request.resources, asked.client, await self.registry.resources())

    async def carry_out(self, asked: Asked, prepared: Granted) -> Authorization:
        """Authenticates the person, cuts the scopes by their roles, and stores the family."""
        person = await self._person(asked)
        scopes = cut_by_roles(prepared.scopes, asked.request.scopes, person)
        family = self._family(asked, prepared, scopes, person.subject)
        token, signer = None, self.keys.now.signer
        if "refresh_token" in asked.client.grant_types:
            await self.families.begin(family, signer.kid)
            token = write_token(self.keys.now.authenticator, Generation(family.family, 0))
        access = access_of(family, scopes, prepared.resource.token_type, person, asked.revision)
        return Authorization(access, token, signer)

    async def _person(self, asked: Asked) -> Person:
        request = asked.request
        try:
            subject = await self.login.authenticate(request.username or "", request.password or "", request.address)
        except WrongCredentialsError as error:
            raise InvalidGrant("Wrong username or password.", detail=error.reason, subject=error.subject) from None
        except TooManyAttemptsError as error:
            retry_after = max(1, round(error.retry_after))
            raise TooManyAttempts(
                "Too many attempts; try again later.",
                retry_after=retry_after,
                alert=error.alert,
                subject=error.subject,
            ) from None
        except TooBusyError:
            raise TemporarilyUnavailable("Too many logins are waiting; try again.") from None
        person = await self.registry.person(subject)
        if person is None or not person.is_enabled:
            raise InvalidGrant("Wrong username or password.", detail="disabled meanwhile", subject=subject)
        return person

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
        )
