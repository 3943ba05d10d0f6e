"""Pauses between attempts that keep failing."""

from __future__ import annotations

import random


class Backoff:
    """Doubling pauses in seconds with jitter, so that a thousand verifiers do not come back in step."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """Returns the pause before the next attempt."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """Starts over after a success."""
        self._next = self._first
