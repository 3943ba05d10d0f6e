"""Writing rules: SQL decides, then Redis tells everybody; the caller's success comes after both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Protocol, TypeVar

import structlog

from identity.feed.rules import Head, NumberedRule
from identity.feed.stores import Journal, Stream, until_undisturbed

log = structlog.get_logger("identity.feed")

_CHUNK = 1000
"""Rules read and appended at once: bounds what they take of memory, and how long Redis is busy with one script."""

_BRIEFLY = 0.001


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
T = TypeVar("T")


class Ledger(Generic[C]):
    """Makes changes that revoke, in the one order that can lose nothing.

    1. One SQL transaction makes the change and takes the rules' numbers.
    2. Redis forgets the families those rules end, and the rules are appended to its stream, which takes a number only
       right after the one before it. It does both or neither, or, in a cluster, the former first.

    Whoever crashes in between leaves Redis behind SQL; every process looks for that once a second and does step 2 from the
    journal (`catch_up`). There is no leader, and doing it twice changes nothing.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractAsyncContextManager[C]],
        journal: Journal,
        stream: Stream,
    ) -> None:
        self._begin = begin
        self._journal = journal
        self._stream = stream

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

    async def perform(self, act: Callable[[C], Awaitable[T]]) -> T:
        """Returns what `act` returns, done in a change. If the store undid that because of somebody else's, it is done again,
        twice at most: so `act` must do nothing but in its change, and with rows it makes itself, for one that was written
        once counts as written."""
        return await until_undisturbed(lambda: self._perform(act))

    async def _perform(self, act: Callable[[C], Awaitable[T]]) -> T:
        async with self.change() as change:
            return await act(change)

    async def catch_up(self) -> Head:
        """Makes Redis stand where SQL stands, and returns that head. Any number of processes may do this at once.

        Redis is asked first: SQL only moves forward, so a Redis that is ahead of it really saw rules that SQL has lost.
        A cluster that stands there may have lost something all the same, on another node than the stream's: whenever one
        begins another history, everything that ended is ended again.
        """
        while True:
            unseen = await self._stream.unseen_histories()
            told = await self._stream.head()
            decided = await self._journal.head()
            if told == decided:
                if not unseen:
                    return decided
                await self._end_again()
                self._stream.trust(unseen)
                continue
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
        before = Head(change.head.epoch, change.numbered[0].seq - 1)
        if not await self._stream.append(before, change.numbered, change.head, change.ended_grants):
            await self.catch_up()

    async def _bring_up(self, told: Head) -> None:
        """A chunk at a time: where Redis was lost, that is everything that is kept."""
        while True:
            decided, rules = await self._journal.after(told.seq, _CHUNK)
            if decided.epoch != told.epoch:
                return
            reached = Head(decided.epoch, rules[-1].seq) if len(rules) == _CHUNK else decided
            ended = await self._journal.ended_grants_after(told.seq, up_to=reached.seq)
            is_appended = await self._stream.append(told, rules, reached, [each.grant_id for each in ended])
            if not is_appended or reached == decided:
                return
            told = reached

    async def _end_again(self) -> None:
        log.info("everything that ended is ended again: a node of Redis may have lost it")
        seq = 0
        while ended := await self._journal.ended_grants_after(seq, limit=_CHUNK):
            await self._stream.end([each.grant_id for each in ended])
            seq = ended[-1].seq
