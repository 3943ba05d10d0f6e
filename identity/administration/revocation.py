"""Revocation by an operator: a token, a session, everything of a person, of a client, or of everybody."""

from __future__ import annotations

from identity.administration.clients import Clients
from identity.administration.errors import AdministrationError
from identity.administration.people import People
from identity.administration.transactions import operator_change
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent
from identity.oauth.grants.sessions import Sessions
from identity.oauth.presented_token import TokenReader
from identity.store.sql.change import SqlChange
from identity.verifier.profile import RuleKind


class OperatorRevocation:
    """Ends what an operator names; when a method returns, the rule is on its way to every verifier."""

    def __init__(
        self,
        ledger: Ledger[SqlChange],
        sessions: Sessions,
        tokens: TokenReader,
        people: People,
        clients: Clients,
        actor: str,
    ) -> None:
        self._ledger = ledger
        self._sessions = sessions
        self._tokens = tokens
        self._people = people
        self._clients = clients
        self._actor = actor

    async def token(self, token: str) -> None:
        """Ends the grant of a refresh or access token; a token without a grant is refused by its id."""
        presented = await self._tokens.read(token)
        if presented is None:
            raise AdministrationError("This is not a living token of this server.")
        event = AuditEvent(
            event="token.revoked",
            actor=self._actor,
            subject=presented.subject,
            client_id=presented.client_id or "",
            grant_id=presented.grant_id,
        )
        await self._sessions.end_presented(presented, event)

    async def session(self, grant_id: str) -> None:
        """Ends a session by its `grant_id`; its client is told, if it began with a login at a browser."""
        await self._sessions.end(AuditEvent(event="session.ended", actor=self._actor, grant_id=grant_id), is_told=True)

    async def user(self, username: str) -> None:
        """Ends everything the person has."""
        await self._people.end_sessions(username)

    async def client(self, client_id: str) -> None:
        """Ends everything issued to the client."""
        await self._clients.end_sessions(client_id)

    async def everything(self) -> None:
        """Ends everything that was issued to anybody: every access token, every session, every API key."""
        async with operator_change(self._ledger) as change:
            change.revoke(Rule.ending(RuleKind.EVERYTHING))
            change.record(AuditEvent(event="everything.ended", actor=self._actor))
