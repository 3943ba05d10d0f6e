"""Not everybody needs to find out for themselves that the database says nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from identity.feed.stores import StoreUnavailableError

_REST_SECONDS: Final = 0.5
"""How long nobody tries after somebody heard nothing: those who waited for their turn meanwhile have waited enough."""


class Circuit:
    """While the database is silent, one caller at a time tries it, and everybody else is told at once. Every server looks at
    the head of the feed twice a second, so its return is noticed without anybody's request."""

    def __init__(self) -> None:
        self._is_open = False
        self._is_tried = False
        self._rests_until = 0.0

    def open(self) -> None:
        """Notes that somebody waited and heard nothing."""
        self._is_open = True
        self._rests_until = time.monotonic() + _REST_SECONDS

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Lets the caller try, or raises `StoreUnavailableError` while somebody else tries, or has just tried. An attempt that
        ends well is the end of the silence."""
        if not self._is_open:
            yield
            return
        if self._is_tried or time.monotonic() < self._rests_until:
            raise StoreUnavailableError("The database", "it has fallen silent")
        self._is_tried = True
        try:
            yield
            self._is_open = False
        finally:
            self._is_tried = False
