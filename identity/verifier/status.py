"""What a running verifier says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerifierStatus:
    """What a health page or a metric may say. Ages in seconds; infinite when it never happened, absent without a feed."""

    key_ids: tuple[str, ...]
    keys_age: float
    feed_staleness: float | None
    feed_cursor: str | None
    rules: int
    unknown_rules: int
    remembered_tokens: int

    @property
    def is_ready(self) -> bool:
        """Whether tokens can be judged: keys are there, and the first picture of the feed, where one is followed."""
        return bool(self.key_ids) and (self.feed_staleness is None or self.feed_staleness < float("inf"))
