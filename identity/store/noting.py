"""What is written a moment after it happened, so that nobody's answer waits for it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from identity.feed.stores import StoreUnavailableError


class Notes(Protocol):
    """Takes notes in bounded memory at once, and writes them into a store every `pause_seconds`. A process that is killed loses
    those of its last pause; while the store is away they wait, as many as there is room for."""

    pause_seconds: float

    async def flush(self) -> None:
        """Writes everything noted so far; what cannot be written waits for the next time."""


async def keep_writing(notes: Notes) -> None:
    """Writes what was noted until cancelled; a write under way goes on."""
    while True:
        await asyncio.sleep(notes.pause_seconds)
        with suppress(StoreUnavailableError):
            await asyncio.shield(notes.flush())
