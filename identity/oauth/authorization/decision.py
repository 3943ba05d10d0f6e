"""From a request and whoever is logged in to an answer: a code, an error, or that somebody has to log in first."""

from __future__ import annotations

import time
from dataclasses import dataclass

from identity.accounts.participants import Participant, Participants
from identity.accounts.sessions import LoginSession
from identity.feed.follower import Follower
from identity.feed.picture import Picture
from identity.keyring.live import LiveKeys
from identity.oauth.assurance import acr_of
from identity.oauth.authorization.checks import RefusedRequestError, check
from identity.oauth.authorization.codes import CodeGrant, Codes
from identity.oauth.authorization.request import AuthorizationParameters, AuthorizationRequest, Prompt, ReturnAddress
from identity.oauth.claims import OPENID_SCOPE
from identity.oauth.errors import (
    AccessDenied,
    ConsentRequired,
    LoginRequired,
    OAuthError,
    UnmetAuthenticationRequirements,
)
from identity.oauth.id_token_hints import IdTokenHints
from identity.oauth.registry import Person, Registry
from identity.oauth.scopes import cut_by_roles
from identity.oauth.subjects import Subjects
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
class AskToConsent:
    """The person has to say whether the client may have what these scopes stand for."""

    request: AuthorizationRequest
    person: Person
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskToLeave:
    """The person has to say whether they want to go on to an address that nobody vouches for; `answer` is what goes along."""

    answer: SendBack


Refusal = SendBack | AskToLeave
Decision = Refusal | AskToLogIn | AskToConsent


@dataclass(frozen=True, slots=True)
class Authorization:
    """Answers authorization requests. `session_lifetime` is the absolute lifetime, in seconds, of what a code begins."""

    issuer: str
    registry: Registry
    follower: Follower
    keys: LiveKeys
    hints: IdTokenHints
    codes: Codes
    subjects: Subjects
    session_lifetime: int
    participants: Participants

    async def decide(
        self,
        sent: AuthorizationParameters,
        session: LoginSession | None,
        is_fresh: bool = False,
        has_agreed: bool = False,
    ) -> Decision:
        """Returns the answer. `is_fresh`: whoever is logged in has done so for this very request; `has_agreed`: to it.

        Raises `UnanswerableRequestError` for what must not be answered to anybody but the person at the browser.
        """
        picture = self.follower.require_fresh()
        revision = picture.head.seq
        try:
            request = await check(sent, self.registry)
            person = await self._person(session, picture)
            if session is None or person is None or (not is_fresh and await self._wants_login(request, session)):
                return _ask_to_log_in(request)
            if not await self._is_meant(request, session):
                raise RefusedRequestError(LoginRequired("Another person logged in than the hint names."), request.back)
            _require_assurance(request, session)
            scopes = _cut(request, person)
            if not has_agreed and _needs_consent(request, person, scopes):
                return _ask_to_consent(request, person, scopes)
            return await self._code(request, session, scopes, revision)
        except RefusedRequestError as error:
            return await self.refusal(error.error, error.back, session)

    async def refusal(self, error: OAuthError, back: ReturnAddress, session: LoginSession | None) -> Refusal:
        """Returns the answer that tells the client of an error (RFC 6749 section 4.1.2.1).

        A client that registered itself may be anybody's, and its address a copy of our login page: a link to us, with an error
        in it or with prompt=none, must not lead there. So browsers go there by themselves for those only who once allowed that
        client something; everybody else is asked (RFC 9700 section 4.11.2; A13).
        """
        answer = self._answer(back, {"error": error.code, "error_description": error.description})
        if not back.self_registered:
            return answer
        person = await self._person(session, self.follower.require_fresh())
        return answer if person and back.self_registered in person.consents else AskToLeave(answer)

    async def _person(self, session: LoginSession | None, picture: Picture) -> Person | None:
        """Returns who is logged in, unless that is over: nobody has to find sessions to end them."""
        if session is None or picture.has_ended("", session.subject, "", session.revision, session.session_id):
            return None
        if await self.registry.is_logged_out(session.session_id):
            return None
        person = await self.registry.person(session.subject)
        return person if person is not None and person.is_enabled else None

    async def _code(
        self, request: AuthorizationRequest, session: LoginSession, scopes: tuple[str, ...], revision: int
    ) -> SendBack:
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
            userinfo_claims=request.claims.userinfo,
            id_token_claims=request.claims.id_token,
        )
        if request.client.backchannel_logout_uri and OPENID_SCOPE in scopes:
            # Before there is a code: whatever ends the login from now on finds the client here, or refuses the code.
            part = Participant(session.session_id, request.client.client_id)
            await self.participants.note(session.subject, part, family.expires_at)
        grant = CodeGrant(family, request.named_redirect_uri, request.challenge, request.nonce, request.dpop_jkt)
        return self._answer(request.back, {"code": await self.codes.issue(grant)})

    async def _wants_login(self, request: AuthorizationRequest, session: LoginSession) -> bool:
        if request.prompts & {Prompt.LOGIN, Prompt.SELECT_ACCOUNT} or not await self._is_meant(request, session):
            return True
        return request.max_age is not None and time.time() - session.auth_time > request.max_age

    async def _is_meant(self, request: AuthorizationRequest, session: LoginSession) -> bool:
        name = self.subjects.of(request.client, session.subject)
        if request.claims.subject not in ("", name):
            return False
        hint = self.hints.read(request.id_token_hint) if request.id_token_hint else None
        return not request.id_token_hint or (hint is not None and await self.hints.names(hint, session.subject))

    def _answer(self, back: ReturnAddress, parameters: dict[str, str]) -> SendBack:
        state = {} if back.state is None else {"state": back.state}
        return SendBack(back, {**parameters, **state, "iss": self.issuer})  # RFC 9207: which server says so (A06).


def _cut(request: AuthorizationRequest, person: Person) -> tuple[str, ...]:
    try:
        return cut_by_roles(request.granted.scopes, request.asked, person)
    except OAuthError:
        error = AccessDenied("The person may not have any of the requested scopes.")
        raise RefusedRequestError(error, request.back) from None


def _require_assurance(request: AuthorizationRequest, session: LoginSession) -> None:
    if request.claims.acr and acr_of(session.authentication_methods) not in request.claims.acr:
        error = UnmetAuthenticationRequirements("Nobody can log in here in the way that is asked for.")
        raise RefusedRequestError(error, request.back)


def _needs_consent(request: AuthorizationRequest, person: Person, scopes: tuple[str, ...]) -> bool:
    client, wanted = request.client, request.claims.scopes.union(scopes)
    is_stranger = (
        client.is_dynamic and client.client_id not in person.consents
    )  # Asked about no scope at all, too (A13).
    return is_stranger or Prompt.CONSENT in request.prompts or not wanted <= person.allows(client)


def _ask_to_consent(request: AuthorizationRequest, person: Person, scopes: tuple[str, ...]) -> AskToConsent:
    if Prompt.NONE in request.prompts:
        raise RefusedRequestError(ConsentRequired("The person has to agree."), request.back)
    single = sorted(request.claims.scopes.difference(scopes))
    return AskToConsent(request, person, (*scopes, *single))


def _ask_to_log_in(request: AuthorizationRequest) -> AskToLogIn:
    if Prompt.NONE in request.prompts:
        raise RefusedRequestError(LoginRequired("Somebody has to log in."), request.back)
    return AskToLogIn(request)
