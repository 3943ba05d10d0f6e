"""The pages: plain HTML that needs no script, in a frame of headers that lets nothing else in (A10, P01)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from identity.oauth.authorization.checks import UnanswerableRequestError
from identity.oauth.authorization.decision import AskToConsent, AskToLeave, SendBack
from identity.oauth.authorization.request import ResponseMode, ReturnAddress
from identity.oauth.claims import DESCRIPTIONS
from identity.oauth.redirect_uris import origin_of
from identity.web.branding import Branding
from identity.web.browser import ForeignPageError
from identity.web.errors import Told, tell

_SUBMIT = "document.forms[0].submit()"
_SUBMIT_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_SUBMIT.encode()).digest()).decode()

_HINTS = {
    429: "Too many attempts were made. Wait a while, then try again.",
    503: "Please try again in a moment.",
}
_HINT = "Go back to the application you came from, and start again. If this goes on, tell its operator."
_START_AGAIN = "Please start again"
"""What a page says that is over: nothing went wrong that anybody could look for."""

Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    """Makes every answer that a person sees, in the operator's branding."""

    def __init__(self, branding: Branding) -> None:
        self._templates = branding.templates

    def answering(self, handler: Handler) -> Handler:
        """Has whatever `handler` raises answered by a page."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except ForeignPageError as error:
                return self.error(tell(request, error), _START_AGAIN)
            except UnanswerableRequestError as error:
                return self.error(tell(request, error.error))
            except Exception as error:
                return self.error(tell(request, error))

        return answer

    def login(
        self, action: str, client: str, back: str, interaction: str, username: str = "", told: Told | None = None
    ) -> Response:
        """Asks for a username and a password."""
        return self._page(
            "login.html",
            told,
            form_action=f"'self' {origin_of(back)}",
            action=action,
            client=client,
            interaction=interaction,
            username=username,
            problem=told.description if told else "",
        )

    def consent(self, action: str, back: str, interaction: str, asked: AskToConsent) -> Response:
        """Asks whether a client may have what it asks for."""
        return self._page(
            "consent.html",
            None,
            form_action=f"'self' {origin_of(back)}",
            action=action,
            client=asked.request.client.name,
            username=asked.person.claims["preferred_username"],
            interaction=interaction,
            self_registered=origin_of(back) if asked.request.back.self_registered else "",
            scopes=[DESCRIPTIONS.get(scope, scope) for scope in asked.scopes],
        )

    def confirm_logout(self, action: str, client: str, back: ReturnAddress | None, interaction: str) -> Response:
        """Asks whether to sign out."""
        form_action = f"'self' {origin_of(back.redirect_uri)}" if back else "'self'"
        values = {"action": action, "client": client, "interaction": interaction}
        return self._page("logout.html", None, form_action=form_action, **values)

    def signed_out(self) -> Response:
        """Says that nobody is signed in at this browser any more."""
        return self._page("signed_out.html", None)

    def error(self, told: Told, heading: str = "") -> Response:
        """Tells the person what no client may be told."""
        heading = heading or ("Please try again" if told.status in _HINTS else "This request cannot be answered")
        return self._page(
            "error.html", told, heading=heading, text=told.description, hint=_HINTS.get(told.status, _HINT)
        )

    def send_back(self, answer: SendBack) -> Response:
        """Sends the browser back to the client; by GET, whatever brought it here, so that no password is sent along (A11)."""
        if answer.back.mode is ResponseMode.QUERY:
            uri = _with_parameters(answer.back.redirect_uri, answer.parameters)
            return RedirectResponse(uri, 303, _headers("'none'"))
        return self._page(
            "form_post.html",
            None,
            form_action=origin_of(answer.back.redirect_uri),
            script_hash=_SUBMIT_HASH,
            action=answer.back.redirect_uri,
            parameters=answer.parameters,
            script=_SUBMIT,
        )

    def leaving(self, asked: AskToLeave) -> Response:
        """Asks whether to go on to an address that nobody vouches for (A13)."""
        answer = asked.answer
        back, is_link = answer.back, answer.back.mode is ResponseMode.QUERY
        return self._page(
            "leaving.html",
            Told(400, answer.parameters["error"], answer.parameters["error_description"]),
            form_action="'none'" if is_link else origin_of(back.redirect_uri),
            text=answer.parameters["error_description"],
            address=origin_of(back.redirect_uri),
            link=_with_parameters(back.redirect_uri, answer.parameters) if is_link else "",
            action=back.redirect_uri,
            parameters=answer.parameters,
        )

    def _page(
        self, template: str, told: Told | None, form_action: str = "'none'", script_hash: str = "", **values: object
    ) -> Response:
        body = self._templates.get_template(template).render(**values)
        headers = {**_headers(form_action, script_hash), **(told.headers if told else {})}
        return Response(body, told.status if told else 200, headers, "text/html")


def _with_parameters(uri: str, parameters: Mapping[str, str]) -> str:
    """Returns the URI with these parameters behind its own (RFC 6749 section 4.1.2)."""
    if not parameters:
        return uri
    separator = "?" if "?" not in uri else "" if uri.endswith(("?", "&")) else "&"
    return f"{uri}{separator}{urlencode(parameters)}"


def _headers(form_action: str, script_hash: str = "") -> dict[str, str]:
    script = f" script-src '{script_hash}';" if script_hash else ""
    policy = f"default-src 'none'; style-src 'self';{script} img-src 'self'; form-action {form_action};"
    return {
        "Content-Security-Policy": f"{policy} frame-ancestors 'none'; base-uri 'none'",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
