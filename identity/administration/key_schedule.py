"""Rotation by itself: when a current key has signed long enough, the next one takes its place as soon as it may."""

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
    """Rotates each algorithm whose current key has signed for `lifetime` seconds, all that are due in one step. One that the
    settings name and the keyring lacks is added, and due at once. Every server process looks; the first one rotates.

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
        self._due_before: tuple[str, ...] = ()
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
        """Rotates what is due if the next keys may sign; after `patience` seconds of waiting, although they may not."""
        try:
            await self._add_missing()
            due = self._due(await self._keys.list())
            if due != self._due_before:
                self._due_before, self._held_since = due, None
            if due:
                await self._rotate(due)
        except KeyringConflictError:
            return  # Another process was faster.

    async def _rotate(self, due: tuple[str, ...]) -> None:
        try:
            self._done("keys.rotated", await self._keys.rotate(algorithms=due), due)
        except TooEarlyError as early:
            await self._held(early, due)

    async def _add_missing(self) -> None:
        for algorithm in await self._keys.missing():
            keyring = await self._keys.add(algorithm)
            self._audit.record("keys.added", detail=f"{keyring.nexts[algorithm].kid} {algorithm}")

    def _due(self, keyring: Keyring) -> tuple[str, ...]:
        return tuple(
            algorithm
            for algorithm in keyring.nexts
            if (signs := keyring.currents.get(algorithm)) is None
            or self._wall() >= (signs.promoted_at or signs.created_at) + self._lifetime
        )

    async def _held(self, early: TooEarlyError, due: tuple[str, ...]) -> None:
        if self._held_since is None:
            self._held_since = self._monotonic()
            log.info("the signing key is due; its rotation waits", reasons=early.reasons)
        if self._monotonic() - self._held_since < self._patience:
            return
        log.error("rotated although the next key may not be known everywhere", reasons=early.reasons)
        rotated = await self._keys.rotate(force=True, algorithms=due)
        self._done("keys.rotation_forced", rotated, due, "; ".join(early.reasons))

    def _done(self, event: str, keyring: Keyring, algorithms: tuple[str, ...], because: str = "") -> None:
        self._held_since = None
        kids = " ".join(keyring.currents[algorithm].kid for algorithm in algorithms)
        self._audit.record(event, detail=f"{kids} {because}".strip())
