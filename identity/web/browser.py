"""Whose browser is it? The login session it has, and the requests that wait for it."""

from __future__ import annotations

from starlette.requests import Request

from identity.accounts.sessions import LoginSession, LoginSessions
from identity.oauth.authorization.interactions import Interaction, Interactions
from identity.oauth.authorization.request import AuthorizationParameters
from identity.oauth.errors import InvalidRequest
from identity.web.cookies import Cookies, digest, new_secret


class ForeignPageError(InvalidRequest):
    """The page was made for another browser, was used already, or waited for too long."""

    def __init__(self) -> None:
        super().__init__("This page is over, or belongs to another browser.")


class BrowserState:
    """Finds, by its cookies, what the server keeps for a browser."""

    def __init__(self, sessions: LoginSessions, interactions: Interactions, cookies: Cookies) -> None:
        self._sessions = sessions
        self._interactions = interactions
        self._cookies = cookies

    async def session(self, request: Request) -> LoginSession | None:
        """Returns the login session of the browser; it may have been ended by a rule."""
        secret = self._cookies.session_of(request)
        return await self._sessions.read(secret) if secret else None

    async def keep(self, request: Request, sent: AuthorizationParameters, session_id: str = "") -> tuple[str, str]:
        """Has a request wait for this browser's next form. Returns the id to put into it, and the secret that the browser has
        to be given; empty if it has one."""
        browser = self._cookies.browser_of(request)
        secret = "" if browser else new_secret()
        interaction = await self._interactions.begin(browser or digest(secret), sent, session_id)
        return interaction.interaction_id, secret

    async def waiting(self, request: Request, interaction_id: str) -> Interaction:
        """Returns the request that waits, or raises `ForeignPageError`."""
        interaction = await self._interactions.read(interaction_id)
        if interaction is None or interaction.browser != self._cookies.browser_of(request):
            raise ForeignPageError
        return interaction

    async def take(self, interaction: Interaction) -> None:
        """Uses the request up; raises `ForeignPageError` for all but one of those who try: two tabs, or a double click."""
        if not await self._interactions.take(interaction.interaction_id):
            raise ForeignPageError
