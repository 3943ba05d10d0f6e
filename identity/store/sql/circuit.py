"""Not everybody needs to find out for themselves that the database says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from identity.feed.stores import StoreUnavailableError


class Circuit:
    """While the database is silent, one caller at a time tries it, and everybody else is told at once. Every server looks at
    the head of the feed twice a second, so its return is noticed without anybody's request."""

    def __init__(self) -> None:
        self._is_open = False
        self._is_tried = False

    def open(self) -> None:
        """Notes that somebody waited and heard nothing."""
        self._is_open = True

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Lets the caller try, or raises `StoreUnavailableError` while it is another's turn to try. One that ends well is the
        end of the silence."""
        if not self._is_open:
            yield
            return
        if self._is_tried:
            raise StoreUnavailableError("The database", "it has fallen silent")
        self._is_tried = True
        try:
            yield
            self._is_open = False
        finally:
            self._is_tried = False
