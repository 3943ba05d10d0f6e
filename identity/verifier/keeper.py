"""When the snapshot is read and when it is written: once at the start, and then every few seconds if something changed."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from threading import Lock
from typing import Final

from identity.verifier.clocks import Clocks
from identity.verifier.feed import FeedFollower
from identity.verifier.jwks import KeySet
from identity.verifier.snapshot import (
    KnownKeys,
    KnownPicture,
    Snapshot,
    SnapshotUnusable,
    newest_of,
    read_snapshot,
    write_snapshot,
)

WRITE_SECONDS: Final = 3.0
"""Shortest time between two writes. A write that takes long is followed by a pause twenty times as long."""

_never: Final = float("-inf")

log = logging.getLogger("identity.verifier")


class SnapshotKeeper:
    """Keeps one file current with what `keys` and `feed` know. Ages are carried over by the wall clock: the monotonic one
    means nothing to another process."""

    def __init__(
        self,
        path: Path,
        issuer: str,
        keys: KeySet,
        feed: FeedFollower | None,
        clocks: Clocks,
    ) -> None:
        self._path = path
        self._issuer = issuer
        self._keys = keys
        self._feed = feed
        self._wall, self._monotonic = clocks
        self._kept: tuple[object, ...] = self._stamp()
        self._writing = Lock()
        self._own: tuple[int, int, int] | None = None
        self._failing = False

    def start_over(self) -> None:
        """Forgets who was writing: after a fork that may have been a thread of the parent's, which will never be done."""
        self._writing = Lock()

    def load(self) -> None:
        """Takes up what the file knows and this verifier does not; a file that cannot be used is logged and ignored."""
        try:
            stored = read_snapshot(self._path, self._issuer)
        except FileNotFoundError:
            return
        except (SnapshotUnusable, OSError) as error:
            log.warning("the snapshot %s is ignored: %s", self._path, error)
            return
        for digest in stored.withdrawn:
            self._keys.withdraw(digest)
        if stored.keys is not None:
            self._keys.resume(stored.keys.keys, self._on_our_clock(stored.keys.at))
        if stored.picture is not None and self._feed is not None:
            self._feed.resume(stored.picture.state, self._on_our_clock(stored.picture.at))
        self._kept = self._stamp()

    async def keep(self) -> None:
        """Writes what changed, for ever."""
        pause = WRITE_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = self._monotonic()
            await self.flush()
            pause = max(WRITE_SECONDS, 20 * (self._monotonic() - began))

    async def flush(self) -> None:
        """Writes if anything changed since the last time, in another thread. A failure is logged once and hurts nobody."""
        stamp = self._stamp()
        if stamp == self._kept:
            return
        try:
            await asyncio.to_thread(self._write, self._snapshot())
        except Exception as error:  # the file is a convenience; verification goes on without it
            if not self._failing:
                log.warning("the snapshot %s cannot be written: %s: %s", self._path, type(error).__name__, error)
            self._failing = True
            return
        self._failing = False
        self._kept = stamp

    def _write(self, ours: Snapshot) -> None:
        with self._writing:
            theirs = self._of_others()
            write_snapshot(self._path, ours if theirs is None else newest_of(ours, theirs, self._wall()))
            self._own = _identity(self._path)

    def _of_others(self) -> Snapshot | None:
        """Returns what another worker wrote since we last did; absent when there is nothing we must not take back."""
        try:
            if _identity(self._path) != self._own:
                return read_snapshot(self._path, self._issuer)
        except (SnapshotUnusable, OSError):
            pass
        return None

    def _snapshot(self) -> Snapshot:
        keys, feed = self._keys, self._feed
        known = KnownKeys(self._on_the_wall(keys.fetched_at), keys.held) if keys.held else None
        state = None if feed is None else feed.picture.state()
        picture = None
        if feed is not None and state is not None and feed.complete_at != _never:
            picture = KnownPicture(self._on_the_wall(feed.complete_at), state)
        return Snapshot(self._issuer, known, picture, keys.withdrawn)

    def _stamp(self) -> tuple[object, ...]:
        keys, feed = self._keys, self._feed
        told = () if feed is None else (feed.fresh_until, feed.picture.version, feed.picture.cursor)
        return keys.fetched_at, keys.generation, len(keys.withdrawn), *told

    def _on_the_wall(self, moment: float) -> float:
        return self._wall() - (self._monotonic() - moment)

    def _on_our_clock(self, moment: float) -> float:
        """Returns when that was on our monotonic clock: never, if it claims to be still to come. The wall clock jumped."""
        age = self._wall() - moment
        return self._monotonic() - age if age >= 0 else _never


def _identity(path: Path) -> tuple[int, int, int]:
    status = os.lstat(path)
    return status.st_ino, status.st_mtime_ns, status.st_size
