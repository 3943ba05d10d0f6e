"""Login sessions: a person logged in at a browser, who need not log in again for the next client (U06)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LoginSession:
    """Who logged in, when (Unix seconds) and how. `session_id` is the `sid` of tokens: it names the session and opens nothing.

    `revision` is the feed head seen before the login's checks: a newer rule about the person, or the session, ends it.
    `expires_at` is its absolute end; that it also ends by resting is the store's business.
    """

    session_id: str
    subject: str
    auth_time: int
    authentication_methods: tuple[str, ...]
    revision: int
    expires_at: int


def new_session_id() -> str:
    """Returns an id with 128 random bits."""
    return secrets.token_urlsafe(16)


class LoginSessions(Protocol):
    """Where login sessions are kept. Every method may raise `StoreUnavailableError`."""

    async def begin(self, session: LoginSession) -> str:
        """Stores a new session; returns the secret that the browser, and nobody else, is given."""

    async def read(self, secret: str) -> LoginSession | None:
        """Returns the session that this secret opens, and has it rest from now on; None for one that is over, or never was."""

    async def end(self, session_id: str) -> None:
        """Removes the session; its secret opens nothing any more."""
