"""Whether this machine's clock agrees with those of the stores: lifetimes are counted here, in SQL and in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Protocol

import structlog

LARGEST_SKEW: Final = 5.0
"""Seconds. Verifiers forgive 30, and most of that belongs to their own clocks."""

_LOOK_SECONDS = 2.0

log = structlog.get_logger("identity.clocks")


class StoreClock(Protocol):
    """A store that can be asked what time it is."""

    async def now(self) -> float:
        """Returns its wall clock, Unix seconds; may raise `StoreUnavailableError`."""


class Clocks:
    """Compares again and again. A server whose clock is wrong issues tokens that are refused, or live too long."""

    def __init__(self, stores: Mapping[str, StoreClock]) -> None:
        self._stores = stores
        self.problem = ""
        """Which clock is how far away, for readiness; empty while all agree."""

    async def run(self) -> None:
        """Looks until cancelled. A store that is away is judged when it is back: what was found before stands until then."""
        while True:
            looking = asyncio.create_task(self.look())
            try:
                with suppress(Exception):  # Whatever it is: one who stopped looking would say the same for ever.
                    await asyncio.shield(looking)
            except asyncio.CancelledError:
                await asyncio.wait([looking])  # A statement that is cancelled can leave its connection open.
                raise
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Compares once."""
        found = {name: await skew_of(store) for name, store in self._stores.items()}
        apart = {name: seconds for name, seconds in found.items() if abs(seconds) > LARGEST_SKEW}
        problem = "; ".join(
            f"The clock of {name} is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
            for name, seconds in apart.items()
        )
        if bool(problem) is not bool(self.problem):
            log.error("clocks disagree", problem=problem) if problem else log.info("clocks agree again")
        self.problem = problem


async def skew_of(store: StoreClock) -> float:
    """Returns how many seconds the store's clock is ahead of ours, certainly: what the answer took is given to it."""
    asked_at, began = time.time(), time.monotonic()
    told = await store.now()
    took = time.monotonic() - began
    if asked_at <= told <= asked_at + took:
        return 0.0
    return told - asked_at if told < asked_at else told - asked_at - took
