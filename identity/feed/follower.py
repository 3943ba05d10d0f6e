"""Reading rules: each server process follows the stream, repairs it, and says how sure it is of being up to date."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

import structlog

from identity.feed.high_water import HighWater
from identity.feed.ledger import Ledger
from identity.feed.picture import Picture
from identity.feed.rules import Head
from identity.feed.stores import Journal, StoreUnavailableError, Stream
from identity.verifier.profile import FEED_MAX_AGE

CONFIRM_SECONDS = 0.5
"""How often Redis's head is compared with SQL's (promised: at least once a second), and tried to be while a store is away: a
Redis that comes back older than it was has sessions alive that ended, until somebody compares."""

_BLOCK_SECONDS = 0.4
"""Length of one blocking read; shorter than the socket timeout, so a silent feed is never taken for a dead store."""

_COALESCE_SECONDS = 0.05
"""Rules that arrive this close together reach a waiting verifier in one answer."""

_HOUSEKEEPING_SECONDS = 30.0

log = structlog.get_logger("identity.feed")


class Memory(Protocol):
    """What this process remembers of people, clients and resources; see `store/registry.py`."""

    def forget(self, digest: bytes) -> None:
        """Forgets whatever a rule with this digest names."""

    def forget_everything(self) -> None:
        """Forgets all."""


class Follower:
    """Keeps one process's `Picture` up to date. The memory forgets what a rule names *before* the head moves onto it, so
    nothing read under a head is older than that head."""

    def __init__(
        self, journal: Journal, stream: Stream, ledger: Ledger[Any], memory: Memory, high_water: HighWater
    ) -> None:
        self._journal = journal
        self._stream = stream
        self._ledger = ledger
        self._memory = memory
        self._high_water = high_water
        self._picture = Picture(Head("", 0))
        self._confirmed_at = float("-inf")
        self._moved = asyncio.Event()
        self._confirmed = asyncio.Event()
        self._closing = asyncio.Event()
        self._wakes = 0
        self._is_stopping = False
        self.problem = ""
        """Why the head could not be confirmed lately, for readiness; empty while all is well."""

    @property
    def picture(self) -> Picture:
        """What this process knows now."""
        return self._picture

    @property
    def age(self) -> float:
        """Seconds since this process last knew that it had seen every committed rule (monotonic clock)."""
        return time.monotonic() - self._confirmed_at

    def require_fresh(self) -> Picture:
        """Returns the picture, or raises `StoreUnavailableError` when it may be out of date: then nothing is issued."""
        if self.age > FEED_MAX_AGE:
            raise StoreUnavailableError("The revocation feed", "this process could not confirm its head")
        return self._picture

    async def up_to_date(self) -> Picture:
        """Returns the picture with every rule that any server has said is in force (F12), by one look at Redis's head. Raises
        `StoreUnavailableError` when that cannot be known."""
        known = self.require_fresh().head.seq
        head = await self._stream.head()
        # Behind us, it stands for other rules than ours under the same numbers: the stores were set back, and used since.
        # (Not behind what was read meanwhile: rules may overtake the answer.)
        if head is None or head.seq < known or not await self._reaches(head):
            await self.confirm_anew()
        return self.require_fresh()

    async def knowing(self, revision: int) -> Picture:
        """Returns the picture with every rule up to this number: what began at another server may rest on a change of which
        this one has not heard yet."""
        picture = self.require_fresh()
        return picture if picture.head.seq >= revision else await self.up_to_date()

    async def confirm_anew(self) -> None:
        """Returns when this process knows every rule that was committed before the call, or raises `StoreUnavailableError`."""
        asked_at = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(FEED_MAX_AGE):
                while self._confirmed_at < asked_at and not self._closing.is_set():
                    await self._confirmed.wait()
        if self._confirmed_at < asked_at:
            raise StoreUnavailableError("The revocation feed", "this process could not confirm its head")

    async def start(self) -> None:
        """Reads everything once; a store that is away at start is an error."""
        await self._ledger.catch_up()
        await self._reload()
        await self._confirm()

    async def run(self) -> None:
        """Follows, confirms and tidies until closed or cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forever(self._confirm, pause=CONFIRM_SECONDS))
            tasks.create_task(self._forever(self._tidy, pause=_HOUSEKEEPING_SECONDS))
            following = tasks.create_task(self._forever(self._follow, pause=0.0))
            await self._closing.wait()
            following.cancel()

    async def wait_beyond(self, head: Head, seconds: float) -> None:
        """Returns when the picture has left `head`, or after `seconds`, or when `wake` is called or the server closes."""
        deadline, wakes = time.monotonic() + seconds, self._wakes
        while self._is_still(head, wakes) and (left := deadline - time.monotonic()) > 0:
            moved = self._moved
            try:
                async with asyncio.timeout(left):
                    await moved.wait()
                    await asyncio.sleep(min(_COALESCE_SECONDS, left))
            except TimeoutError:
                return

    def _is_still(self, head: Head, wakes: int) -> bool:
        return self._picture.head == head and self._wakes == wakes and not self._is_stopping

    def wake(self) -> None:
        """Ends every wait at once, because the pollers are to hear of something that is not a rule: new keys."""
        self._wakes += 1
        self._announce()

    def stop_waiting(self) -> None:
        """Ends every wait for news at once, those to come too, so that a stopping server is not held up by its pollers. It goes
        on following: what it still has to answer, it answers by all the rules there are."""
        self._is_stopping = True
        self._announce()

    def close(self) -> None:
        """Ends every wait at once, and `run` after its last step.

        Cancelling `run` would not do: redis-py can swallow a cancellation that arrives while it connects (so each loop also
        looks for itself), and an SQL statement that is cancelled can leave its connection open."""
        self._closing.set()
        self.stop_waiting()
        self._tell_confirmed()

    async def _follow(self) -> None:
        rules = await self._stream.read_after(self._picture.head.seq, _BLOCK_SECONDS)
        for rule in rules:
            if rule.seq != self._picture.head.seq + 1:
                await self._reload()
                return
            self._memory.forget(rule.digest)
            self._picture.apply(rule)
        if rules:
            self._announce()

    async def _confirm(self) -> None:
        asked_at, reached = time.monotonic(), max(self._picture.head.seq, self._high_water.seq)
        head = await self._ledger.catch_up()
        if head.seq < reached:
            # Both stores were set back at once; living processes remember the numbers that were given since, and after a
            # restart the high-water mark does. A process that had seen fewer of them may have begun an epoch already: then
            # another begins, above these.
            await self._ledger.begin_epoch(head, reached)
            head = await self._ledger.catch_up()
        if not await self._reaches(head):
            await self._reload()
        if self._picture.head.epoch == head.epoch and self._picture.head.seq >= head.seq:
            self._confirmed_at = asked_at
            self.problem = ""
            self._tell_confirmed()
            await asyncio.to_thread(self._high_water.raise_to, head.seq)

    async def _reaches(self, head: Head) -> bool:
        """Waits a moment for `_follow` to arrive at `head`; False when it will not, because the stream has a gap."""
        if head.epoch != self._picture.head.epoch:
            return False
        deadline = time.monotonic() + 2 * _BLOCK_SECONDS
        while self._picture.head.seq < head.seq and (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()
        return self._picture.head.seq >= head.seq

    async def _reload(self) -> None:
        picture = await Picture.read(self._journal)
        head = picture.head
        if head.epoch == self._picture.head.epoch and head.seq < self._picture.head.seq:
            return  # While SQL was read, the stream told of more; a picture that went back would revive a revoked token.
        self._memory.forget_everything()
        self._picture = picture
        self._announce()

    async def _tidy(self) -> None:
        now = time.time()
        self._picture.forget_expired(now)
        await self._journal.purge(int(now))

    async def _forever(self, step: Callable[[], Awaitable[None]], pause: float) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                await step()
                failures = 0
            except Exception as error:
                # Also one nobody foresaw: a follower that died would refuse everything until somebody restarts the server.
                failures += 1
                foreseen = isinstance(error, StoreUnavailableError)
                self.problem = (
                    str(error) if foreseen else f"The revocation feed cannot be followed: {type(error).__name__}"
                )
                if failures == 1:
                    log.error("the revocation feed cannot be followed", problem=self.problem)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause if not failures else min(0.1 * 2**failures, CONFIRM_SECONDS)):
                    await self._closing.wait()

    def _announce(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _tell_confirmed(self) -> None:
        confirmed, self._confirmed = self._confirmed, asyncio.Event()
        confirmed.set()
