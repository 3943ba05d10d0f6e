"""The revocation journal in SQL: the place where the order of all rules is decided."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final

from sqlalchemy import Row, and_, or_, update
from sqlalchemy import select as sqlalchemy_select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from identity.feed.rules import CHANGED, EndedGrant, Head, NumberedRule, Rule
from identity.feed.stores import StoreConflictError, StoreUnavailableError
from identity.models import FeedHead, RevocationRule
from identity.store.sql.engine import WORK_SECONDS, Database
from identity.store.sql.removal import remove
from identity.verifier.profile import RuleKind, rule_digest

LEAP: Final = 2**30
"""Numbers passed over, at least, where an epoch begins: more rules than are written in a year."""

_CHUNK = 5000
"""Rules read at once: the event loop is busy with them for some milliseconds."""

_COLUMNS = (
    col(RevocationRule.seq),
    col(RevocationRule.kind),
    col(RevocationRule.digest),
    col(RevocationRule.ends),
    col(RevocationRule.expires_at),
)
_RULES = sqlalchemy_select(*_COLUMNS).order_by(col(RevocationRule.seq))
"""Columns, as `NumberedRule` has them: a row of the model would take eight times as long to make."""


class SqlJournal:
    """Reads the journal; implements `feed.stores.Journal`. `write_rules` is how a transaction adds to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> Head:
        """Returns the number of the last committed rule. Everything depends on it, so nothing else holds it up."""
        async with self._database.read(reserved=True) as session:
            return await read_head(session)

    async def live(self) -> AsyncIterator[tuple[Head, list[NumberedRule]]]:
        """Yields, a chunk at a time and each with the same head, every rule that can still match a token, and the ends still
        in force of more than one session.

        Not one long transaction: a rule never changes, those up to a committed head are all there, and only what has expired
        is ever removed.
        """
        head = await self.head()
        rules: list[NumberedRule] = []
        yield head, rules
        while rules := await self._chunk(rules[-1].seq if rules else 0, head):
            yield head, rules
        now = await self.head()
        if now.epoch != head.epoch or now.seq < head.seq:
            raise StoreConflictError("The database", "it was set back while its rules were read")

    async def _chunk(self, seq: int, head: Head) -> list[NumberedRule]:
        now = int(time.time())
        alive = or_(col(RevocationRule.expires_at).is_(None), col(RevocationRule.expires_at) > now)
        kept = and_(
            col(RevocationRule.ends),
            col(RevocationRule.kept_until) > now,
            col(RevocationRule.kind).in_((RuleKind.SUBJECT, RuleKind.CLIENT, RuleKind.EVERYTHING)),
        )
        place = and_(col(RevocationRule.seq) > seq, col(RevocationRule.seq) <= head.seq)
        query = _RULES.where(place, or_(alive, kept), col(RevocationRule.kind) != CHANGED).limit(_CHUNK)
        async with self._database.read(WORK_SECONDS) as session:
            return [NumberedRule._make(row) for row in await session.execute(query)]

    async def after(self, seq: int, limit: int | None = None) -> tuple[Head, list[NumberedRule]]:
        """Returns head and the first rules with a greater number than `seq`."""
        async with self._database.read(WORK_SECONDS) as session:
            head = await read_head(session)
            place = and_(col(RevocationRule.seq) > seq, col(RevocationRule.seq) <= head.seq)
            return head, [NumberedRule._make(row) for row in await session.execute(_RULES.where(place).limit(limit))]

    async def ended_grants_after(
        self, seq: int, *, up_to: int | None = None, limit: int | None = None
    ) -> list[EndedGrant]:
        """Returns the first grants ended by rules after `seq`, in order."""
        query = select(RevocationRule.seq, RevocationRule.value).where(
            col(RevocationRule.seq) > seq, col(RevocationRule.ends), RevocationRule.kind == RuleKind.GRANT
        )
        if up_to is not None:
            query = query.where(col(RevocationRule.seq) <= up_to)
        async with self._database.read(WORK_SECONDS) as session:
            rows = await session.execute(query.order_by(col(RevocationRule.seq)).limit(limit))
            return [EndedGrant(*row) for row in rows]

    async def has_ended(self, grant_id: str) -> bool:
        """Tells whether a rule ended this grant."""
        async with self._database.read() as session:
            return await has_ended(session, RuleKind.GRANT, grant_id)

    async def withdrawn_among(self, kids: Iterable[str]) -> set[str]:
        """Returns those of the signing keys that a rule refuses; such rules never expire."""
        digests = [rule_digest(RuleKind.KEY, kid) for kid in kids]
        query = select(RevocationRule.value).where(
            col(RevocationRule.digest).in_(digests), RevocationRule.kind == RuleKind.KEY
        )
        async with self._database.read() as session:
            return set((await session.scalars(query)).all())

    async def purge(self, now: int) -> int:
        """Removes rules that can match neither a token nor a session any more; returns how many."""
        spent = and_(
            col(RevocationRule.expires_at) <= now,
            or_(col(RevocationRule.kept_until).is_(None), col(RevocationRule.kept_until) <= now),
        )
        return await remove(self._database, RevocationRule, col(RevocationRule.seq), spent)


def new_epoch() -> str:
    """Returns a name for a new history of numbers."""
    return secrets.token_urlsafe(9)


async def has_ended(session: AsyncSession, kind: RuleKind, value: str) -> bool:
    """Tells whether a rule of this kind ended `value` for good."""
    query = select(RevocationRule.seq).where(
        RevocationRule.digest == rule_digest(kind, value), col(RevocationRule.ends), RevocationRule.kind == kind
    )
    return (await session.scalars(query.limit(1))).first() is not None


async def is_named(session: AsyncSession, kind: RuleKind, value: str) -> bool:
    """Tells whether there is a rule of this kind about `value`."""
    query = select(RevocationRule.seq).where(
        RevocationRule.digest == rule_digest(kind, value), RevocationRule.kind == kind
    )
    return (await session.scalars(query.limit(1))).first() is not None


async def write_rules(
    session: AsyncSession, rules: Iterable[Rule], now: int, horizon: int, kept: int
) -> tuple[Head, list[NumberedRule]]:
    """Gives `rules` the next numbers and inserts them; returns the new head and the rules.

    The row lock on the head lasts until the commit, so numbers are visible in the order they were given. `horizon` and
    `kept` are seconds: the life of the longest token and of the longest session that a rule can match.
    """
    rules = list(rules)
    seq = col(FeedHead.seq)
    query = update(FeedHead).values(seq=seq + len(rules)).returning(col(FeedHead.epoch), seq)
    epoch, last = _present((await session.execute(query)).first())
    first = last - len(rules) + 1
    rows = [_row(first + index, rule, now, horizon, kept) for index, rule in enumerate(rules)]
    session.add_all(rows)
    return Head(epoch, last), [_numbered(row) for row in rows]


async def read_head(session: AsyncSession, *, locked: bool = False) -> Head:
    """Returns the head as this session sees it."""
    query = select(FeedHead.epoch, FeedHead.seq)
    epoch, seq = _present((await session.execute(query.with_for_update() if locked else query)).first())
    return Head(epoch, seq)


def _present(head: Row[str, int] | None) -> Row[str, int]:
    if head is None:
        raise StoreUnavailableError("The database", "its rows are missing; it is being restored")
    return head


async def start_epoch(session: AsyncSession, behind: Head, reached: int, now: float) -> bool:
    """Starts a new history of numbers, far above `reached`, unless somebody else has already: then SQL does not stand
    `behind` any more, and this returns False.

    Nobody may know how far the numbers had come, and a living token that carries a greater one than the rule that ends
    everything would pass. So they go on at the microseconds of `now`, if that is more: rules are written far more slowly, so
    that is above every number ever given, whichever backup is restored how often. 2**53, which JSON can say, ends in 2255.
    """
    # Locked: two processes that saw the same old head would begin two epochs, and numbers of the first would repeat.
    head = await read_head(session, locked=True)
    if head.epoch != behind.epoch or head.seq >= reached:
        return False
    await session.execute(update(FeedHead).values(epoch=new_epoch(), seq=max(reached + LEAP, int(now * 1e6))))
    return True


def _row(seq: int, rule: Rule, now: int, horizon: int, kept: int) -> RevocationRule:
    return RevocationRule(
        seq=seq,
        kind=rule.kind,
        digest=rule.digest,
        value=" ".join(rule.values),
        ends=rule.ends,
        expires_at=None if rule.kind == RuleKind.KEY else now + horizon,
        kept_until=now + kept if rule.ends else None,
    )


def _numbered(row: RevocationRule) -> NumberedRule:
    return NumberedRule(row.seq, row.kind, row.digest, row.ends, row.expires_at)
