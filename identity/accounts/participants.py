"""Which clients take part in a login: those that are to hear of its end (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Participant:
    """A client that got a code in a login session."""

    session_id: str
    client_id: str


@dataclass(frozen=True, slots=True)
class EndedLogins:
    """What ended of a person: one login session, one client's part in it, or, where nothing is said, all of them."""

    subject: str
    session_id: str = ""
    client_id: str = ""

    def include(self, participant: Participant) -> bool:
        """Whether this client's part in that login ended."""
        return self.session_id in ("", participant.session_id) and self.client_id in ("", participant.client_id)


class Participants(Protocol):
    """Where it is kept. Every method may raise `StoreUnavailableError`."""

    async def note(self, subject: str, participant: Participant, until: int) -> None:
        """Notes that the client takes part; nothing of it is left at `until` (Unix seconds)."""

    async def of(self, subject: str) -> list[Participant]:
        """Returns who takes part in any login of the person."""

    async def forget(self, subject: str, participants: Collection[Participant]) -> None:
        """Forgets these, because they have been seen to."""
