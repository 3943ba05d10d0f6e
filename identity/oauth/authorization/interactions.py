"""Interactions: a request that waits at the server while a person logs in, bound to the browser that brought it (A12, U13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from identity.oauth.authorization.request import AuthorizationParameters


@dataclass(frozen=True, slots=True)
class Interaction:
    """A request under way. `browser` is the digest of a secret that only the browser has: a page that was made for another
    one, and sent to somebody, is good for nothing there (CVE-2022-39222). `session_id` is the login session under which it
    waits, if somebody is logged in."""

    interaction_id: str
    browser: str
    session_id: str
    sent: AuthorizationParameters


class Interactions(Protocol):
    """Where requests wait, for a while. Every method may raise `StoreUnavailableError`."""

    async def begin(self, browser: str, sent: AuthorizationParameters, session_id: str = "") -> Interaction:
        """Keeps a request."""

    async def read(self, interaction_id: str) -> Interaction | None:
        """Returns the request that waits under this id."""

    async def take(self, interaction_id: str) -> bool:
        """Removes it, atomically: of several who would answer it, one is told True."""
