"""Time that a test moves instead of waiting for it."""

from __future__ import annotations

import time


class MovableClock:
    """Unix time in seconds, as far from the real one as it was moved: `Verifier(..., clock=issuer.clock)`."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Moves the time forward, or back with a negative number."""
        self._ahead += seconds
