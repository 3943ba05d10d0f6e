"""What may be presented once: whoever shows the same thing again has copied it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Once(StrEnum):
    """The kinds of things that are good once. Each has a namespace of its own: what was used as one kind says nothing about
    another, and uses none of it up (CVE-2026-4325)."""

    DPOP_PROOF = "dpop-proof"
    CLIENT_ASSERTION = "client-assertion"


class Replays(Protocol):
    """Remembers what was presented, for all servers together."""

    async def is_first(self, kind: Once, value: str, seconds: float) -> bool:
        """Tells whether `value` is presented for the first time within `seconds`, atomically: of any number who present it at
        once, one is told so. `value` names whose it is, too: an identifier is unique only for who chose it.

        Called before anything is issued; raises `StoreUnavailableError` when nobody can tell.
        """
