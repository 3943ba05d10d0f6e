"""Who is the person? One answer for an unknown name, a wrong password and a disabled account (U05)."""

from __future__ import annotations

from dataclasses import dataclass

from identity.accounts.login import Login, TooManyAttemptsError, WrongCredentialsError
from identity.accounts.passwords import TooBusyError
from identity.oauth.errors import InvalidGrant, TemporarilyUnavailable, TooManyAttempts
from identity.oauth.registry import Person, Registry

_WRONG = "Wrong username or password."


@dataclass(frozen=True, slots=True)
class PasswordAuthentication:
    """Authenticates people by their passwords, for the password grant and for the login page alike (A43)."""

    login: Login
    registry: Registry

    async def person(self, username: str, password: str, address: str) -> Person:
        """Returns the person, or raises `InvalidGrant`, `TooManyAttempts` or `TemporarilyUnavailable`."""
        try:
            subject = await self.login.authenticate(username, password, address)
        except WrongCredentialsError as error:
            raise InvalidGrant(_WRONG, detail=error.reason, subject=error.subject) from None
        except TooManyAttemptsError as error:
            raise TooManyAttempts(
                "Too many attempts; try again later.",
                retry_after=max(1, round(error.retry_after)),
                alert=error.alert,
                subject=error.subject,
            ) from None
        except TooBusyError:
            raise TemporarilyUnavailable("Too many logins are waiting; try again.") from None
        person = await self.registry.person(subject)
        if person is None or not person.is_enabled:
            raise InvalidGrant(_WRONG, detail="disabled meanwhile", subject=subject)
        return person
