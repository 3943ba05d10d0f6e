"""Signing in at the login page: a login session begins."""

from __future__ import annotations

import time
from dataclasses import dataclass

from identity.accounts.sessions import LoginSession, LoginSessions, new_session_id
from identity.feed.follower import Follower
from identity.oauth.errors import InvalidGrant, OAuthError, TooManyAttempts
from identity.oauth.grants.pipeline import Audit
from identity.oauth.password_authentication import PasswordAuthentication


@dataclass(frozen=True, slots=True)
class SignIn:
    """Begins login sessions. `lifetime` is their absolute lifetime in seconds."""

    passwords: PasswordAuthentication
    sessions: LoginSessions
    follower: Follower
    audit: Audit
    lifetime: int

    async def by_password(
        self, username: str, password: str, client_id: str, address: str, before: LoginSession | None
    ) -> tuple[LoginSession, str]:
        """Returns a new session and the secret that opens it, or raises what `PasswordAuthentication` does. The session that
        the browser had `before` is over: one that was put there before the login would else be the person's now (U06)."""
        revision = self.follower.require_fresh().head.seq
        try:
            person = await self.passwords.person(username, password, address)
        except OAuthError as error:
            self._record_refusal(error, client_id, address)
            raise
        now = int(time.time())
        session = LoginSession(new_session_id(), person.subject, now, ("pwd",), revision, now + self.lifetime)
        secret = await self.sessions.begin(session)
        if before is not None:
            await self.sessions.end(before.session_id)
        self.audit.record("login.succeeded", subject=person.subject, client_id=client_id, address=address)
        return session, secret

    def _record_refusal(self, error: OAuthError, client_id: str, address: str) -> None:
        if isinstance(error, InvalidGrant):
            self.audit.record(
                "login.refused", subject=error.subject, client_id=client_id, address=address, detail=error.detail
            )
        if isinstance(error, TooManyAttempts) and error.alert:
            self.audit.record(
                "login.throttled", subject=error.subject, client_id=client_id, address=address, detail=error.alert
            )
