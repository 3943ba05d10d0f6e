"""Logout notices: that a login ended is still to be told to a client. Kept in SQL, so that no crash loses one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from identity.models import LogoutNotice


class LogoutNotices(Protocol):
    """What is still to be told; times are Unix seconds. Every method may raise `StoreUnavailableError`, and any number of
    servers may call any of them at once."""

    async def clients(self, now: int, most: int, besides: Collection[str]) -> Sequence[str]:
        """Returns clients, other than `besides`, that are to be told something now."""

    async def claim(self, client_id: str, now: int, until: int) -> LogoutNotice | None:
        """Returns one that is due, with this try counted; until then nobody else gets it. None if there is none."""

    async def remove(self, notice: LogoutNotice) -> None:
        """Says that nothing is to be told any more."""

    async def postpone(self, notice: LogoutNotice, due_at: int) -> None:
        """Has what was claimed tried again then."""

    async def postpone_due(self, client_id: str, now: int, due_at: int) -> None:
        """Has everything that is due for the client tried then: nobody is there, and one try told so of all."""
