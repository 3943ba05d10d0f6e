"""Authorization codes: what a browser carries to the client, good once and for a minute (A20-A22, A25)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from identity.tokens.refresh_token import Family

MOST_WRONG_VERIFIERS = 3
"""A code is over after so many (A25): whoever has a code but not the verifier gets few guesses, and one mistake is none."""


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """What a code stands for: the session that begins when it is redeemed, and what the redeemer must show. `redirect_uri` is
    what the authorization request said (None: nothing); so is `dpop_jkt`, the thumbprint of the key that redeems
    (RFC 9449 section 10)."""

    family: Family
    redirect_uri: str | None
    challenge: str | None
    nonce: str | None
    dpop_jkt: str | None = None


class Redemption(StrEnum):
    """What the store made of a code that was to be redeemed."""

    REDEEMED = "redeemed"
    """For the first time, and now nobody else can."""
    USED = "used"
    """Somebody has: what they got must end (RFC 6749 section 4.1.2)."""
    UNKNOWN = "unknown"
    """Expired, burnt, or never issued."""


class Codes(Protocol):
    """Where codes are kept, hashed. Every method may raise `StoreUnavailableError`."""

    async def issue(self, grant: CodeGrant) -> str:
        """Returns a new code of 256 random bits."""

    async def read(self, code: str) -> CodeGrant | None:
        """Returns what the code stands for, used or not."""

    async def redeem(self, grant: CodeGrant, kid: str | None) -> Redemption:
        """Uses the code of this grant up, atomically: of any number who try at once, one redeems it. In the same step the
        family begins, whose first access token the key `kid` signs; with None there is none."""

    async def count_wrong_verifier(self, code: str) -> None:
        """Notes that somebody had the code and not the verifier; it is over after `MOST_WRONG_VERIFIERS`."""
