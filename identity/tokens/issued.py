"""How many access tokens each key signed, for whom: what is asked after a key was stolen."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

HOUR = 3600


class Holder(NamedTuple):
    """Whom an access token was issued to, and for which resource."""

    client_id: str
    audience: str


class IssuedTokens(NamedTuple):
    """How many tokens a key signed for a holder within the hour that began at `hour` (Unix seconds)."""

    kid: str
    holder: Holder
    hour: int
    tokens: int


class IssueCounts(Protocol):
    """Counts tokens by key, client, resource and hour."""

    def count(self, kid: str, client_id: str, audience: str, now: int) -> None:
        """Notes one token, signed at `now` (Unix seconds). Never waits, never fails."""

    async def signed_by(self, kids: Collection[str]) -> list[IssuedTokens]:
        """Returns what these keys signed lately, oldest hour first; may raise `StoreUnavailableError`."""
