"""Writing rules: SQL decides, then Redis tells everybody; the caller's success comes after both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Protocol, TypeVar

import structlog

from identity.feed.rules import Head, NumberedRule
from identity.feed.stores import Journal, Stream

log = structlog.get_logger("identity.feed")

_CHUNK = 1000
"""Rules appended by one script call: bounds how long Redis is busy with one."""

_BRIEFLY = 0.001

EndGrant = Callable[[str], Awaitable[None]]


class Change(Protocol):
    """One SQL transaction. The rules added to it get their numbers as its last act, so the lock on the head is brief."""

    @property
    def numbered(self) -> list[NumberedRule]:
        """After the commit: the rules that were written, in order."""

    @property
    def ended_grants(self) -> list[str]:
        """The grants that those rules end."""

    @property
    def head(self) -> Head:
        """After the commit: the head."""

    async def begin_epoch(self, behind: Head, reached: int, ended: Collection[bytes]) -> None:
        """Starts a new history above `reached` with a rule that ends everything, unless SQL does not stand `behind` any more.
        `ended` are the digests of what was ended since, as far as that is known."""


C = TypeVar("C", bound=Change)


class Ledger(Generic[C]):
    """Makes changes that revoke, in the one order that can lose nothing.

    1. One SQL transaction makes the change and takes the rules' numbers.
    2. Redis forgets the families those rules end.
    3. The rules are appended to the Redis stream, which takes a number only right after the one before it.

    Whoever crashes in between leaves Redis behind SQL; every process looks for that once a second and does steps 2 and 3
    from the journal (`catch_up`). There is no leader, and doing a step twice changes nothing.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractAsyncContextManager[C]],
        journal: Journal,
        stream: Stream,
        end_family: EndGrant,
    ) -> None:
        self._begin = begin
        self._journal = journal
        self._stream = stream
        self._end_family = end_family

    @asynccontextmanager
    async def change(self) -> AsyncIterator[C]:
        """Opens a transaction; when the block ends well, everything in it is committed, appended and in force.

        `StoreUnavailableError` after the commit means: it will be in force soon, by somebody's `catch_up`; trying again
        is harmless.
        """
        async with self._begin() as change:
            yield change
        if change.numbered:
            await self._publish(change)

    async def catch_up(self) -> Head:
        """Makes Redis stand where SQL stands, and returns that head. Any number of processes may do this at once.

        Redis is asked first: SQL only moves forward, so a Redis that is ahead of it really saw rules that SQL has lost.
        """
        while True:
            told = await self._stream.head()
            decided = await self._journal.head()
            if told == decided:
                return decided
            if told is not None and told.seq > decided.seq:
                # In whichever epoch: a backup of SQL may be older than the epoch, and its numbers would repeat.
                await self.begin_epoch(decided, told.seq)
                continue
            if told is None or told.epoch != decided.epoch:
                log.info("the revocation stream is rebuilt from the journal", epoch=decided.epoch, seq=decided.seq)
                await self._stream.reset(decided.epoch)
                told = Head(decided.epoch, 0)
            await self._bring_up(told)

    async def begin_epoch(self, behind: Head, reached: int) -> C:
        """Makes good that SQL was restored to an earlier state: it stands `behind`, numbers had come to `reached`, and what was
        revoked in between is forgotten. So everything issued until now is refused, all sessions end, and whoever a rule that
        Redis still holds had ended is disabled. Any number of processes may do this at once; one does, and
        its change has rules. Redis hears of it by `catch_up`."""
        ended = await self._ended_after(behind.seq)
        async with self._begin() as change:
            await change.begin_epoch(behind, reached, ended)
        if change.numbered:
            log.error(
                "SQL was restored to an earlier state; everything issued until now is refused",
                sql=behind.seq,
                reached=reached,
                epoch=change.head.epoch,
            )
        return change

    async def _ended_after(self, seq: int) -> set[bytes]:
        """Returns what rules after `seq` have ended, as far as Redis still knows."""
        found: set[bytes] = set()
        while rules := await self._stream.read_after(seq, _BRIEFLY):
            seq = rules[-1].seq
            found |= {rule.digest for rule in rules if rule.ends}
        return found

    async def _publish(self, change: C) -> None:
        for grant_id in change.ended_grants:
            await self._end_family(grant_id)
        before = Head(change.head.epoch, change.numbered[0].seq - 1)
        if not await self._stream.append(before, change.numbered, change.head):
            await self.catch_up()

    async def _bring_up(self, told: Head) -> None:
        ended = await self._journal.ended_grants_after(told.seq)
        for start in range(0, len(ended), _CHUNK):
            # Together, because they travel together: ending them one after the other takes five times as long.
            await asyncio.gather(*(self._end_family(grant_id) for grant_id in ended[start : start + _CHUNK]))
        decided, rules = await self._journal.after(told.seq)
        chunks = [rules[start : start + _CHUNK] for start in range(0, len(rules), _CHUNK)] or [[]]
        for index, chunk in enumerate(chunks):
            reached = decided if index == len(chunks) - 1 else Head(decided.epoch, chunk[-1].seq)
            if not await self._stream.append(told, chunk, reached):
                return
            told = reached
