"""Rotation by itself: when the current key has signed long enough, the next one takes its place as soon as it may."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from identity.administration.keys import SigningKeys
from identity.feed.stores import StoreUnavailableError
from identity.keyring.place import KeyringConflictError
from identity.keyring.publication import TooEarlyError
from identity.keyring.states import Keyring, KeyringError
from identity.oauth.grants.pipeline import Audit

PATIENCE_SECONDS = 24 * 3600.0
"""How long the gate may hold up a rotation that is due: one forgotten verifier must not keep a key for ever."""

_LOOK_SECONDS = 30.0

log = structlog.get_logger("identity.keyring")


class RotationSchedule:
    """Rotates when the current key has signed for `lifetime` seconds. Every server process looks; the first one rotates.

    That it is due is told by the wall clock, because keys outlive processes; a clock that is wrong only rotates early, and
    the gate holds then, too. How long the gate has held is told by the monotonic clock: no jump can end its patience.
    """

    def __init__(
        self,
        keys: SigningKeys,
        audit: Audit,
        lifetime: float,
        *,
        patience: float = PATIENCE_SECONDS,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._audit = audit
        self._lifetime = lifetime
        self._patience = patience
        self._wall = wall
        self._monotonic = monotonic
        self._held_since: float | None = None

    async def run(self) -> None:
        """Looks again and again until cancelled; with a lifetime of 0, never."""
        while self._lifetime:
            await asyncio.sleep(min(_LOOK_SECONDS, self._lifetime) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            try:
                await self.look()
            except (KeyringError, StoreUnavailableError, OSError) as error:
                log.error("the signing key is due, and cannot be rotated", problem=str(error))

    async def look(self) -> None:
        """Rotates if it is time and the next key may sign; after `patience` seconds of waiting, although it may not."""
        keyring = await self._keys.list()
        if self._wall() < _signing_since(keyring) + self._lifetime:
            self._held_since = None
            return
        try:
            self._done("keys.rotated", await self._keys.rotate())
        except TooEarlyError as early:
            await self._held(early)
        except KeyringConflictError:
            return  # Another process was faster.

    async def _held(self, early: TooEarlyError) -> None:
        if self._held_since is None:
            self._held_since = self._monotonic()
            log.info("the signing key is due; its rotation waits", reasons=early.reasons)
        if self._monotonic() - self._held_since < self._patience:
            return
        log.error("rotated although the next key may not be known everywhere", reasons=early.reasons)
        self._done("keys.rotation_forced", await self._keys.rotate(force=True), "; ".join(early.reasons))

    def _done(self, event: str, keyring: Keyring, because: str = "") -> None:
        self._held_since = None
        self._audit.record(event, detail=f"{keyring.current.kid} {because}".strip())


def _signing_since(keyring: Keyring) -> int:
    return keyring.current.promoted_at or keyring.current.created_at
