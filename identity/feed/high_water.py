"""How far the numbers had come, kept outside of both stores: what is left when both are restored to an earlier state."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

import structlog

HIGH_WATER = ".high-water"
"""The name of the file in the keys folder: that is the one folder which every server has and nobody restores with SQL."""

log = structlog.get_logger("identity.feed")


class HighWater:
    """The greatest number that this machine has seen, in a file beside the keys. A database that stands below it is a copy
    from before, whoever put it there.

    Without a folder (`path` is None) only this process remembers.

    It may be behind the truth by what the last half second brought, and missing where the folder was lost as well or cannot be
    written: `identity restored` says then what no process can see. It only ever moves forward.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._is_refused = False
        self.seq = self._read()
        """The mark as this process knows it."""

    def raise_to(self, seq: int) -> None:
        """Raises the mark; another process may have raised it higher. Never fails: what it guards against is rare, and a disk
        that is full is not."""
        if seq <= self.seq:
            return
        self.seq = max(seq, self._read())
        if self.seq == seq:
            self._write()

    def _read(self) -> int:
        if self._path is None:
            return 0
        with suppress(OSError, ValueError):
            return max(0, int(self._path.read_text(encoding="ascii")[:20]))
        return 0

    def _write(self) -> None:
        if self._path is None:
            return
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{self.seq}\n")
            temporary.replace(self._path)
            self._is_refused = False
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            if not self._is_refused:
                self._is_refused = True
                log.error("the high-water mark of the feed cannot be written", problem=type(error).__name__)
