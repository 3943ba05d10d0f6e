"""One transaction of the server: what changes, the rules that follow from it, and the audit events, all or nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from identity.accounts.participants import EndedLogins, Participant, Participants
from identity.feed.rules import Head, NumberedRule, Rule
from identity.feed.stores import StoreUnavailableError
from identity.models import AuditEvent
from identity.store.sql.engine import Database
from identity.store.sql.journal import has_ended, is_named, read_head, start_epoch, write_rules
from identity.store.sql.logout_notices import write_notices
from identity.store.sql.registrations import Registrations
from identity.store.sql.restored import disable_ended, renew_api_keys
from identity.verifier.profile import RuleKind

log = structlog.get_logger("identity.logout")


class SqlChange:
    """An open transaction; implements `feed.ledger.Change`."""

    def __init__(self, session: AsyncSession, participants: Participants | None = None) -> None:
        self.registrations = Registrations(session)
        self._session = session
        self._participants = participants
        self._ended: list[EndedLogins] = []
        self._told: list[tuple[str, list[Participant]]] = []
        self._rules: list[Rule] = []
        self.numbered: list[NumberedRule] = []
        self.head = Head("", 0)
        self.disabled: list[AuditEvent] = []
        """What `begin_epoch` disabled."""
        self._is_restored = False

    @property
    def ended_grants(self) -> list[str]:
        """The grants that the rules of this change end."""
        return [rule.values[0] for rule in self._rules if rule.ends and rule.kind == RuleKind.GRANT]

    def revoke(self, *rules: Rule) -> None:
        """Adds rules; they get their numbers when everything else is done. If one ends a person, clients hear of it."""
        self._rules.extend(rules)
        self.tell(*(EndedLogins(rule.values[0]) for rule in rules if rule.ends and rule.kind == RuleKind.SUBJECT))

    def tell(self, *ended: EndedLogins) -> None:
        """Has the clients that took part in these told, by notices that are committed with the rules, or not at all (A58)."""
        self._ended.extend(ended)

    def record(self, event: AuditEvent) -> None:
        """Adds an audit event."""
        self._session.add(event)

    async def has_ended(self, kind: RuleKind, value: str) -> bool:
        """Tells whether a rule ended this already: a grant, a login session."""
        return await has_ended(self._session, kind, value)

    async def is_revoked(self, token_id: str) -> bool:
        """Tells whether a rule refuses this access token already."""
        return await is_named(self._session, RuleKind.TOKEN, token_id)

    async def revision(self) -> int:
        """Returns the number of the last committed rule: what this change makes is newer than every rule up to it."""
        return (await read_head(self._session)).seq

    async def begin_epoch(self, behind: Head, reached: int, ended: Collection[bytes]) -> None:
        """Starts a new history above `reached` with a rule that ends everything, unless somebody was faster."""
        self._is_restored = await start_epoch(self._session, behind, reached, time.time())
        if self._is_restored:
            self.revoke(Rule.ending(RuleKind.EVERYTHING))
            self.record(AuditEvent(event="feed.restored", detail=f"SQL stood at {behind.seq}, numbers at {reached}"))
            self.disabled = await disable_ended(self._session, ended)
            for event in self.disabled:
                self.record(event)

    async def number_rules(self, horizon: int, kept: int) -> None:
        """Writes the rules; the last act before the commit, because it locks the head.

        API keys live longer than any rule about them is kept: one that is ended is marked, whoever ends it (A48). Only after a
        restore they go on: nobody would be there to make new ones.
        """
        for rule in self._rules:
            if rule.ends and not self._is_restored:
                await self.registrations.end_api_keys(rule.kind, *rule.values)
        for ended in self._ended:
            await self._write_notices(ended)
        if self._rules:
            now = int(time.time())
            self.head, self.numbered = await write_rules(self._session, self._rules, now, horizon, kept)
        if self._is_restored:
            await renew_api_keys(self._session, self.head.seq)

    async def _write_notices(self, ended: EndedLogins) -> None:
        """Writes them, unless Redis, which knows who took part, is away: then it ends all the same, and nobody is told."""
        if self._participants is None:
            return
        try:
            found = await self._participants.of(ended.subject)
        except StoreUnavailableError:
            log.error("a login ended, and Redis could not say which clients are to be told")
            return
        told = list(filter(ended.include, found))
        await write_notices(self._session, ended.subject, told, int(time.time()))
        self._told.append((ended.subject, told))

    async def forget_told(self) -> None:
        """Forgets who took part in what is over now; after the commit. What a failure leaves is told once more, at worst."""
        with suppress(StoreUnavailableError):
            for subject, told in self._told:
                if self._participants is not None:
                    await self._participants.forget(subject, told)


def changes(
    database: Database, horizon: int, kept: int, participants: Participants | None = None
) -> Callable[[], AbstractAsyncContextManager[SqlChange]]:
    """Returns what opens transactions whose rules live for `horizon` seconds, and ended sessions for `kept`;
    `participants` says which clients are told of logins that end."""

    @asynccontextmanager
    async def begin() -> AsyncIterator[SqlChange]:
        async with database.transaction() as session:
            change = SqlChange(session, participants)
            yield change
            await change.number_rules(horizon, kept)
        await change.forget_told()

    return begin
