"""Noticing that this process stood still: nobody was answered meanwhile, and nothing else would tell."""

from __future__ import annotations

import asyncio
import time

import structlog

LONG_SECONDS = 1.0
"""Half of what the revocation feed may go unconfirmed: beyond it the server refuses everybody for a moment."""

_LOOK_SECONDS = 0.25

log = structlog.get_logger("identity.web")


async def watch_for_standstills() -> None:
    """Logs each time in which the event loop did not turn: a call that blocked it, a core that others took, a frozen
    machine. Runs until cancelled; the clock is monotonic, so a wall clock that is put forward is none."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(_LOOK_SECONDS)
        stood = time.monotonic() - began - _LOOK_SECONDS
        if stood >= LONG_SECONDS:
            log.warning("the server stood still, and answered nobody", seconds=round(stood, 2))
