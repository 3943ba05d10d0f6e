"""`/logout`: the browser is signed out, of everything (OpenID Connect RP-Initiated Logout)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from identity.accounts.sessions import LoginSession
from identity.oauth.authorization.decision import SendBack
from identity.oauth.authorization.request import AuthorizationParameters
from identity.oauth.logout import LogoutDecision
from identity.oauth.metadata import LOGOUT_CONFIRMATION_PATH
from identity.web.addresses import ClientAddress
from identity.web.browser import BrowserState
from identity.web.cookies import Cookies
from identity.web.forms import read_authorization_parameters, read_confirmation
from identity.web.pages import Pages
from identity.web.services import Browsers


class LogoutEndpoint:
    """The end session endpoint, and the page that asks first. `base` is the issuer's path."""

    def __init__(
        self, browsers: Browsers, state: BrowserState, cookies: Cookies, pages: Pages, address: ClientAddress, base: str
    ) -> None:
        self._logout = browsers.logout
        self._state = state
        self._cookies = cookies
        self._pages = pages
        self._address = address
        self._confirmation_path = base + LOGOUT_CONFIRMATION_PATH

    async def logout(self, request: Request) -> Response:
        """Signs out whom a client certainly means; asks, if that is not certain: a link that anybody sends somebody must not
        sign them out (A57)."""
        sent = await read_authorization_parameters(request)
        if sent.faulty:
            sent = AuthorizationParameters({})
        session = await self._state.session(request)
        decision = await self._logout.decide(sent, session)
        if session is None or decision.is_certain:
            return await self._finish(request, session, decision)
        interaction_id, secret = await self._state.keep(request, sent)
        client = decision.client.name if decision.client else ""
        response = self._pages.confirm_logout(self._confirmation_path, client, decision.back, interaction_id)
        self._cookies.set_browser(response, secret)
        return response

    async def confirm(self, request: Request) -> Response:
        """Signs out whoever said yes."""
        interaction = await self._state.waiting(request, await read_confirmation(request))
        await self._state.take(interaction)
        session = await self._state.session(request)
        return await self._finish(request, session, await self._logout.decide(interaction.sent, session))

    async def _finish(self, request: Request, session: LoginSession | None, decision: LogoutDecision) -> Response:
        if session is not None:
            await self._logout.end(session, self._address.of(request))
        response = self._pages.send_back(_answer(decision)) if decision.back else self._pages.signed_out()
        self._cookies.remove_session(response)
        return response


def _answer(decision: LogoutDecision) -> SendBack:
    assert decision.back is not None
    state = decision.back.state
    return SendBack(decision.back, {} if state is None else {"state": state})
