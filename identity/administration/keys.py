"""Signing keys: list, rotate, export. A rotation never meets a verifier that has not had the time to see the key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from identity.feed.stores import StoreUnavailableError
from identity.feed.verifiers import Verifiers
from identity.keyring.folder import KeyFolder, KeyringConflictError
from identity.keyring.publication import Publications, Readiness, TooEarlyError
from identity.keyring.signers import PublishedKeys
from identity.keyring.states import Keyring, KeyringError, KeyState, SigningKeyRecord

RELOAD_BOUND_SECONDS = 5
"""A server that has not noticed a rotation yet may sign by the previous key for this long."""

_ATTEMPTS = 5
_PROGRESS_SECONDS = 5.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class KeyRules:
    """How keys are made and when they move on. Seconds."""

    bits: int
    publication_seconds: float
    token_horizon: float
    session_lifetime: float

    @property
    def keep_seconds(self) -> float:
        """How long a previous key stays published after it was replaced."""
        return self.token_horizon + RELOAD_BOUND_SECONDS


class SigningKeys:
    """What an operator can do with keys. Every transition is a compare-and-set, so two operators cannot rotate twice."""

    def __init__(self, folder: KeyFolder, rules: KeyRules, publications: Publications, verifiers: Verifiers) -> None:
        self._folder = folder
        self._rules = rules
        self._publications = publications
        self._verifiers = verifiers

    def initialise(self) -> Keyring:
        """Makes the first keyring; refuses where there is one."""
        return self._folder.initialise(self._rules.bits, int(time.time()))

    def list(self) -> Keyring:
        """Returns the keyring as it stands."""
        return self._folder.read()

    def export(self) -> bytes:
        """Returns the JWKS of the published keys."""
        return PublishedKeys.of(record.public for record in self._folder.read().published).body

    async def rotate(self, force: bool = False) -> Keyring:
        """Promotes the next key and makes a new next one. Raises `TooEarlyError` when a living server has not published it
        long enough, or a live verifier does not hold it, unless forced. An operator who comes second finds the version
        changed, and nothing is done twice."""
        keyring = self._folder.read()
        if not force:
            (await self._readiness()).require(keyring, self._rules.publication_seconds, time.time())
        now = int(time.time())
        successor = await self._new_key(KeyState.NEXT, now)
        rotated = keyring.retired(int(now - self._rules.keep_seconds)).promoted(successor, now)
        self._folder.replace(keyring, rotated)
        return rotated

    async def rotate_when_ready(self, progress: Callable[[TooEarlyError], None], patience: float) -> Keyring:
        """Rotates as soon as that is allowed, telling `progress` while it waits; gives up after `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return await self.rotate()
            except TooEarlyError as error:
                if time.monotonic() + error.seconds > deadline:
                    raise
                progress(error)
                await asyncio.sleep(min(max(error.seconds, 0.1), _PROGRESS_SECONDS))

    def rotate_refresh_key(self) -> Keyring:
        """Makes a new refresh key for new sessions; those that live keep theirs until they end."""
        for _ in range(_ATTEMPTS):
            keyring, now = self._folder.read(), int(time.time())
            oldest_needed = int(now - self._rules.session_lifetime)
            rotated = keyring.with_refresh_key(self._folder.new_refresh_key(now), oldest_needed)
            try:
                self._folder.replace(keyring, rotated)
            except KeyringConflictError:
                continue
            return rotated
        raise KeyringConflictError("The keyring keeps changing; try again.")

    async def supersede(self, kid: str) -> Keyring:
        """Has another key take the place of `kid`, if it signs or is next, whatever verifiers have seen; for emergencies."""
        keyring, now = self._folder.read(), int(time.time())
        if kid not in {record.kid for record in keyring.signing}:
            raise KeyringError(f"There is no key {kid}.")
        if kid == keyring.current.kid:
            superseded = keyring.promoted(await self._new_key(KeyState.NEXT, now), now, urgent=True)
        elif kid == keyring.next.kid:
            superseded = keyring.with_next(await self._new_key(KeyState.NEXT, now), now)
        else:
            return keyring
        self._folder.replace(keyring, superseded)
        return superseded

    async def supersede_everything(self) -> Keyring:
        """Has new keys take the place of all, of the refresh key too: whoever copied the folder can make any token."""
        keyring, now = self._folder.read(), int(time.time())
        current, following = await self._new_key(KeyState.CURRENT, now), await self._new_key(KeyState.NEXT, now)
        superseded = keyring.restarted(current, following, now)
        superseded = superseded.with_only_refresh_key(self._folder.new_refresh_key(now))
        self._folder.replace(keyring, superseded)
        return superseded

    async def reaches_every_server(self, keyring: Keyring) -> bool:
        """Returns whether every living server signs by `keyring`; waits for it as long as a server may take to notice.
        False, too, when nobody can tell because Redis is away: an emergency goes on."""
        deadline = time.monotonic() + RELOAD_BOUND_SECONDS
        while True:
            with suppress(StoreUnavailableError):
                if (await self._readiness()).has_reached_servers(keyring):
                    return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOOK_SECONDS)

    def withdraw(self, *kids: str) -> Keyring:
        """Never again publishes, or accepts, these keys."""
        keyring = self._folder.read()
        withdrawn = keyring.withdrawn(*kids)
        if withdrawn is not keyring:
            self._folder.replace(keyring, withdrawn)
        return withdrawn

    async def _readiness(self) -> Readiness:
        live = await self._verifiers.live()
        return Readiness(await self._publications.servers(), {each.name: each.kids for each in live})

    async def _new_key(self, state: KeyState, now: int) -> SigningKeyRecord:
        return await asyncio.to_thread(self._folder.new_signing_key, self._rules.bits, state, now)
