"""`/authorize`, `/login` and `/consent`: where browsers come from clients, and how they get back."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from identity.accounts.sessions import LoginSession
from identity.oauth.authorization.decision import AskToConsent, AskToLeave, AskToLogIn, Decision, SendBack
from identity.oauth.authorization.interactions import Interaction
from identity.oauth.authorization.request import AuthorizationParameters, AuthorizationRequest
from identity.oauth.errors import AccessDenied, InvalidGrant, OAuthError, TemporarilyUnavailable
from identity.oauth.metadata import CONSENT_PATH, LOGIN_PATH
from identity.web.addresses import ClientAddress
from identity.web.browser import BrowserState, ForeignPageError
from identity.web.cookies import Cookies
from identity.web.errors import Told, tell
from identity.web.forms import LoginForm, read_authorization_parameters, read_consent_form, read_login_form
from identity.web.pages import Pages
from identity.web.services import Browsers


class AuthorizationEndpoint:
    """The authorization endpoint (RFC 6749 section 3.1), and the pages it leads to. `base` is the issuer's path."""

    def __init__(
        self, browsers: Browsers, state: BrowserState, cookies: Cookies, pages: Pages, address: ClientAddress, base: str
    ) -> None:
        self._browsers = browsers
        self._state = state
        self._cookies = cookies
        self._pages = pages
        self._address = address
        self._login_path, self._consent_path = base + LOGIN_PATH, base + CONSENT_PATH

    async def authorize(self, request: Request) -> Response:
        """Sends the browser back to the client, or to a page that asks somebody something."""
        sent = await self._browsers.pushed.resolve(await read_authorization_parameters(request))
        session = await self._state.session(request)
        return await self._go_on(request, sent, session, await self._browsers.authorization.decide(sent, session))

    async def show_login(self, request: Request) -> Response:
        """Shows the form."""
        interaction, asked = await self._waiting_for_login(request, request.query_params.get("interaction", ""))
        return self._form(interaction, asked, username=asked.login_hint)

    async def log_in(self, request: Request) -> Response:
        """Logs the person in and goes on; or shows the form again, and says why."""
        form = await read_login_form(request)
        interaction, asked = await self._waiting_for_login(request, form.interaction)
        try:
            session, secret = await self._sign_in(request, form, asked.client.client_id)
        except (InvalidGrant, TemporarilyUnavailable) as error:
            return self._form(interaction, asked, username=form.username, told=_on_page(tell(request, error)))
        await self._state.take(interaction)
        decision = await self._browsers.authorization.decide(interaction.sent, session, is_fresh=True)
        if isinstance(decision, AskToLogIn):  # Disabled since the password was looked at.
            raise ForeignPageError
        response = await self._go_on(request, interaction.sent, session, decision)
        self._cookies.set_session(response, secret)
        return response

    async def show_consent(self, request: Request) -> Response:
        """Shows what the client asks for."""
        interaction_id = request.query_params.get("interaction", "")
        interaction, _, asked = await self._waiting_for_consent(request, interaction_id)
        return self._pages.consent(
            self._consent_path, asked.request.back.redirect_uri, interaction.interaction_id, asked
        )

    async def consent(self, request: Request) -> Response:
        """Sends the browser back with what the person decided about the very request that was shown (A12)."""
        form = await read_consent_form(request)
        interaction, session, asked = await self._waiting_for_consent(request, form.interaction)
        await self._state.take(interaction)
        authorization, client_id = self._browsers.authorization, asked.request.client.client_id
        if not form.is_allowed:
            refused = await authorization.refusal(AccessDenied("The person said no."), asked.request.back, session)
            return await self._go_on(request, interaction.sent, session, refused)
        address = self._address.of(request)
        await self._browsers.consents.grant(session.subject, client_id, asked.scopes, address)
        decision = await authorization.decide(interaction.sent, session, is_fresh=True, has_agreed=True)
        return await self._go_on(request, interaction.sent, session, decision)

    async def _go_on(
        self, request: Request, sent: AuthorizationParameters, session: LoginSession | None, decision: Decision
    ) -> Response:
        if isinstance(decision, SendBack):
            return self._pages.send_back(decision)
        if isinstance(decision, AskToLeave):
            return self._pages.leaving(decision)
        is_login = isinstance(decision, AskToLogIn)
        session_id = "" if is_login or session is None else session.session_id
        interaction_id, secret = await self._state.keep(request, sent, session_id)
        path = self._login_path if is_login else self._consent_path
        location = f"{path}?{urlencode({'interaction': interaction_id})}"
        response = RedirectResponse(location, 303, {"Cache-Control": "no-store"})
        self._cookies.set_browser(response, secret)
        return response

    async def _sign_in(self, request: Request, form: LoginForm, client_id: str) -> tuple[LoginSession, str]:
        before, address = await self._state.session(request), self._address.of(request)
        sign_in = self._browsers.sign_in
        return await sign_in.by_password(form.username, form.password, client_id, address, before)

    async def _waiting_for_login(
        self, request: Request, interaction_id: str
    ) -> tuple[Interaction, AuthorizationRequest]:
        """Returns the request that waits for this browser, checked again: the client may have been disabled meanwhile."""
        interaction = await self._state.waiting(request, interaction_id)
        decision = await self._browsers.authorization.decide(interaction.sent, None)
        if not isinstance(decision, AskToLogIn):
            raise ForeignPageError
        return interaction, decision.request

    async def _waiting_for_consent(
        self, request: Request, interaction_id: str
    ) -> tuple[Interaction, LoginSession, AskToConsent]:
        """Returns the request that waits for whoever is logged in: somebody else may be by now, in another tab."""
        interaction, session = await self._state.waiting(request, interaction_id), await self._state.session(request)
        if session is None or interaction.session_id != session.session_id:
            raise ForeignPageError
        decision = await self._browsers.authorization.decide(interaction.sent, session, is_fresh=True)
        if not isinstance(decision, AskToConsent):
            raise ForeignPageError
        return interaction, session, decision

    def _form(
        self, interaction: Interaction, asked: AuthorizationRequest, username: str, told: Told | None = None
    ) -> Response:
        client, back = asked.client.name, asked.back.redirect_uri
        return self._pages.login(self._login_path, client, back, interaction.interaction_id, username, told)


def _on_page(told: Told) -> Told:
    """A page that asks again is no failed request of a client; 403 keeps browsers from taking the password for a right one."""
    return Told(403, told.code, told.description) if told.status == OAuthError.status else told
