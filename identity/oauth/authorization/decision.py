"""From a request and whoever is logged in to an answer: a code, an error, or that somebody has to log in first."""

from __future__ import annotations

import time
from dataclasses import dataclass

from identity.accounts.sessions import LoginSession
from identity.feed.follower import Follower
from identity.feed.picture import Picture
from identity.keyring.live import LiveKeys
from identity.oauth.authorization.checks import RefusedRequestError, check
from identity.oauth.authorization.codes import CodeGrant, Codes
from identity.oauth.authorization.request import AuthorizationParameters, AuthorizationRequest, Prompt, ReturnAddress
from identity.oauth.errors import AccessDenied, LoginRequired, OAuthError
from identity.oauth.registry import Person, Registry
from identity.oauth.scopes import cut_by_roles
from identity.tokens.refresh_token import Family, new_family


@dataclass(frozen=True, slots=True)
class SendBack:
    """The browser goes back to the client with these parameters, in this order."""

    back: ReturnAddress
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class AskToLogIn:
    """Somebody has to log in before `request` can be answered."""

    request: AuthorizationRequest


@dataclass(frozen=True, slots=True)
class Authorization:
    """Answers authorization requests. `session_lifetime` is the absolute lifetime, in seconds, of what a code begins."""

    issuer: str
    registry: Registry
    follower: Follower
    keys: LiveKeys
    codes: Codes
    session_lifetime: int

    async def decide(
        self, sent: AuthorizationParameters, session: LoginSession | None, is_fresh: bool = False
    ) -> SendBack | AskToLogIn:
        """Returns the answer. `is_fresh`: whoever is logged in has done so for this very request.

        Raises `UnanswerableRequestError` for what must not be answered to anybody but the person at the browser.
        """
        picture = self.follower.require_fresh()
        revision = picture.head.seq
        try:
            request = await check(sent, self.registry)
            person = await self._person(session, picture)
            if session is None or person is None or _must_log_in(request, session, is_fresh):
                if Prompt.NONE in request.prompts:
                    raise RefusedRequestError(LoginRequired("Somebody has to log in."), request.back)
                return AskToLogIn(request)
            return await self._code(request, session, person, revision)
        except RefusedRequestError as error:
            return self.refusal(error.error, error.back)

    def refusal(self, error: OAuthError, back: ReturnAddress) -> SendBack:
        """Returns the answer that tells the client of an error (RFC 6749 section 4.1.2.1)."""
        return self._answer(back, {"error": error.code, "error_description": error.description})

    async def _person(self, session: LoginSession | None, picture: Picture) -> Person | None:
        """Returns who is logged in, unless that is over: nobody has to find sessions to end them."""
        if session is None or picture.has_logged_out(session.session_id, session.subject, session.revision):
            return None
        person = await self.registry.person(session.subject)
        return person if person is not None and person.is_enabled else None

    async def _code(
        self, request: AuthorizationRequest, session: LoginSession, person: Person, revision: int
    ) -> SendBack:
        try:
            scopes = cut_by_roles(request.granted.scopes, request.asked, person)
        except OAuthError:
            error = AccessDenied("The person may not have any of the requested scopes.")
            raise RefusedRequestError(error, request.back) from None
        family = Family(
            family=new_family(self.keys.now.authenticator),
            subject=session.subject,
            client_id=request.client.client_id,
            scopes=scopes,
            audience=request.granted.resource.identifier,
            auth_time=session.auth_time,
            authentication_methods=session.authentication_methods,
            revision=revision,
            expires_at=int(time.time()) + self.session_lifetime,
            session_id=session.session_id,
        )
        grant = CodeGrant(family, request.named_redirect_uri, request.challenge, request.nonce)
        return self._answer(request.back, {"code": await self.codes.issue(grant)})

    def _answer(self, back: ReturnAddress, parameters: dict[str, str]) -> SendBack:
        state = {} if back.state is None else {"state": back.state}
        return SendBack(back, {**parameters, **state, "iss": self.issuer})  # RFC 9207: which server says so (A06).


def _must_log_in(request: AuthorizationRequest, session: LoginSession, is_fresh: bool) -> bool:
    if is_fresh:
        return False
    if request.prompts & {Prompt.LOGIN, Prompt.SELECT_ACCOUNT}:
        return True
    return request.max_age is not None and time.time() - session.auth_time > request.max_age
