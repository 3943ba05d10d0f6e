"""`/authorize` and `/login`: where browsers come from clients, and how they get back."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from identity.accounts.sessions import LoginSession
from identity.oauth.authorization.decision import AskToLogIn, SendBack
from identity.oauth.authorization.interactions import Interaction
from identity.oauth.authorization.request import AuthorizationRequest
from identity.oauth.errors import InvalidGrant, InvalidRequest, OAuthError, TemporarilyUnavailable
from identity.oauth.metadata import LOGIN_PATH
from identity.web.cookies import Cookies
from identity.web.errors import Told, tell
from identity.web.forms import LoginForm, read_authorization_parameters, read_login_form
from identity.web.pages import Pages
from identity.web.services import Services

_OVER = "This sign-in is over, or belongs to another browser."


class AuthorizationEndpoint:
    """The authorization endpoint (RFC 6749 section 3.1), and the login page it leads to."""

    def __init__(self, services: Services, pages: Pages, base: str) -> None:
        self._address = services.address
        self._browsers = services.browsers
        self._pages = pages
        self._login_path = base + LOGIN_PATH
        self._cookies = Cookies(services.settings.issuer)

    async def authorize(self, request: Request) -> Response:
        """Sends the browser back to the client, or to the login page."""
        browsers = self._browsers
        sent = await read_authorization_parameters(request)
        decision = await browsers.authorization.decide(sent, await self._session(request))
        if isinstance(decision, SendBack):
            return self._pages.send_back(decision)
        browser = self._cookies.browser_of(request)
        response = RedirectResponse("", 303, {"Cache-Control": "no-store"})
        interaction = await browsers.interactions.begin(browser or self._cookies.set_browser(response), sent)
        response.headers["Location"] = f"{self._login_path}?{urlencode({'interaction': interaction.interaction_id})}"
        return response

    async def show_login(self, request: Request) -> Response:
        """Shows the form."""
        interaction, asked = await self._waiting(request, request.query_params.get("interaction", ""))
        return self._form(interaction, asked, username=asked.login_hint)

    async def log_in(self, request: Request) -> Response:
        """Logs the person in, and sends the browser back to the client; or shows the form again, and says why."""
        browsers, form = self._browsers, await read_login_form(request)
        interaction, asked = await self._waiting(request, form.interaction)
        try:
            session, secret = await self._sign_in(request, form, asked.client.client_id)
        except (InvalidGrant, TemporarilyUnavailable) as error:
            return self._form(interaction, asked, username=form.username, told=_on_page(tell(request, error)))
        # Two tabs, or a double click: one answer goes to the client.
        if not await browsers.interactions.take(interaction.interaction_id):
            raise InvalidRequest(_OVER)
        decision = await browsers.authorization.decide(interaction.sent, session, is_fresh=True)
        if isinstance(decision, AskToLogIn):  # Disabled since the password was looked at.
            raise InvalidRequest(_OVER)
        response = self._pages.send_back(decision)
        self._cookies.set_session(response, secret)
        return response

    async def _sign_in(self, request: Request, form: LoginForm, client_id: str) -> tuple[LoginSession, str]:
        before, address = await self._session(request), self._address.of(request)
        sign_in = self._browsers.sign_in
        return await sign_in.by_password(form.username, form.password, client_id, address, before)

    async def _session(self, request: Request) -> LoginSession | None:
        secret = self._cookies.session_of(request)
        return await self._browsers.sessions.read(secret) if secret else None

    async def _waiting(self, request: Request, interaction_id: str) -> tuple[Interaction, AuthorizationRequest]:
        """Returns the request that waits for this browser, checked again: the client may have been disabled meanwhile."""
        interaction = await self._browsers.interactions.read(interaction_id)
        if interaction is None or interaction.browser != self._cookies.browser_of(request):
            raise InvalidRequest(_OVER)
        decision = await self._browsers.authorization.decide(interaction.sent, None)
        if isinstance(decision, SendBack):
            raise InvalidRequest(_OVER)
        return interaction, decision.request

    def _form(
        self, interaction: Interaction, asked: AuthorizationRequest, username: str, told: Told | None = None
    ) -> Response:
        client, back = asked.client.name, asked.back.redirect_uri
        return self._pages.login(self._login_path, client, back, interaction.interaction_id, username, told)


def _on_page(told: Told) -> Told:
    """A page that asks again is no failed request of a client; 403 keeps browsers from taking the password for a right one."""
    return Told(403, told.code, told.description) if told.status == OAuthError.status else told
