"""Logging out at the browser (OpenID Connect RP-Initiated Logout 1.0): a login session ends, and all that descends from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from identity.accounts.participants import EndedLogins
from identity.accounts.sessions import LoginSession, LoginSessions
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent
from identity.oauth.authorization.request import AuthorizationParameters, ReturnAddress
from identity.oauth.id_token_hints import HintedLogin, IdTokenHints
from identity.oauth.redirect_uris import is_registered
from identity.oauth.registry import RegisteredClient, Registry
from identity.verifier.profile import RuleKind


@dataclass(frozen=True, slots=True)
class LogoutDecision:
    """What a request comes to. `is_certain`: a client proved that it means this very login, so nobody has to be asked. `back`
    is where the browser goes afterwards (None: to a page that says so); `client` is who asks, if that is known."""

    is_certain: bool
    back: ReturnAddress | None
    client: RegisteredClient | None


@dataclass(frozen=True, slots=True)
class Logout:
    """Ends login sessions: one rule, which refuses their access tokens everywhere and their refresh tokens here (A57)."""

    registry: Registry
    hints: IdTokenHints
    sessions: LoginSessions
    ledger: Ledger[Any]

    async def decide(self, sent: AuthorizationParameters, session: LoginSession | None) -> LogoutDecision:
        """Returns what the request comes to. What is doubtful about it is left out: it is asked about, and leads nowhere."""
        hint = self.hints.read(sent.get("id_token_hint") or "")
        client = await self._client(sent, hint)
        is_meant = hint is not None and session is not None and await self._means(hint, session)
        back = _back(sent, client) if hint is not None else None
        if client is not None and client.is_dynamic and not is_meant:
            # Anybody registers one, and has a hint of it: with a link to us it would lead everybody to its address (A13).
            back = None
        is_certain = hint is not None and client is not None and (session is None or is_meant)
        return LogoutDecision(is_certain, back, client)

    async def end(self, session: LoginSession, address: str) -> None:
        """Ends the session: when this returns, no refresh token that descends from it is good for anything, and the rule that
        refuses its access tokens is on its way to every verifier, and the notices to the clients that took part (A58)."""

        async def end(change: Any) -> None:
            if not await change.has_ended(RuleKind.SESSION, session.session_id):
                change.revoke(Rule.ending(RuleKind.SESSION, session.session_id))
                change.tell(EndedLogins(session.subject, session.session_id))
                change.record(AuditEvent(event="logout", subject=session.subject, address=address))

        await self.ledger.perform(end)
        await self.ledger.catch_up()
        await self.sessions.end(session.session_id)

    async def _means(self, hint: HintedLogin, session: LoginSession) -> bool:
        if hint.session_id:
            return hint.session_id == session.session_id
        return await self.hints.names(hint, session.subject)

    async def _client(self, sent: AuthorizationParameters, hint: HintedLogin | None) -> RegisteredClient | None:
        named = sent.get("client_id") or (hint.client_id if hint else "")
        if hint is not None and hint.client_id != named:
            return None
        client = await self.registry.client(named) if named else None
        return client if client is not None and client.is_enabled else None


def _back(sent: AuthorizationParameters, client: RegisteredClient | None) -> ReturnAddress | None:
    uri = sent.get("post_logout_redirect_uri")
    if client is None or uri is None or not is_registered(uri, client.post_logout_redirect_uris):
        return None
    return ReturnAddress(uri, state=sent.get("state"))
