"""Signing keys: list, rotate, export. A rotation never meets a verifier that has not had the time to see the key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from identity.feed.stores import StoreUnavailableError
from identity.feed.verifiers import Verifiers
from identity.keyring.live import RELOAD_BOUND_SECONDS
from identity.keyring.making import first_keyring, new_refresh_key, new_signing_key
from identity.keyring.place import KeyPlace, KeyringConflictError, PrivateKeys
from identity.keyring.publication import Publications, Readiness, TooEarlyError
from identity.keyring.signers import PublishedKeys
from identity.keyring.states import Keyring, KeyringError, KeyState, SigningKeyRecord

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
        """How long a previous key stays published after it was replaced: a server that has not noticed yet may sign with it
        for a moment."""
        return self.token_horizon + RELOAD_BOUND_SECONDS

    @property
    def remember_seconds(self) -> float:
        """How long the public half of a retired key is kept: until every session that began under it is over, because an
        older `id_token_hint` is about a session that has ended anyway."""
        return self.keep_seconds + self.session_lifetime


class SigningKeys:
    """What an operator can do with keys. Every transition is a compare-and-set, so two operators cannot rotate twice."""

    def __init__(self, place: KeyPlace, rules: KeyRules, publications: Publications, verifiers: Verifiers) -> None:
        self._place = place
        self._rules = rules
        self._publications = publications
        self._verifiers = verifiers

    async def initialise(self) -> Keyring:
        """Makes the first keyring; refuses where there is one."""
        keyring, private = await asyncio.to_thread(first_keyring, self._rules.bits, int(time.time()))
        await self._place.create(keyring, private)
        return keyring

    async def list(self) -> Keyring:
        """Returns the keyring as it stands."""
        return await self._place.read()

    async def export(self) -> bytes:
        """Returns the JWKS of the published keys."""
        return PublishedKeys.of(record.public for record in (await self._place.read()).published).body

    async def rotate(self, force: bool = False) -> Keyring:
        """Promotes the next key and makes a new next one. Raises `TooEarlyError` when a living server has not published it
        long enough, or a live verifier does not hold it, unless forced. An operator who comes second finds the version
        changed, and nothing is done twice."""
        keyring = await self._place.read()
        if not force:
            (await self._readiness()).require(keyring, self._rules.publication_seconds, time.time())
        now = int(time.time())
        ready = keyring.retired(int(now - self._rules.keep_seconds), int(now - self._rules.remember_seconds))
        return await self._promote(keyring, ready, now)

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

    async def rotate_refresh_key(self) -> Keyring:
        """Makes a new refresh key for new sessions; those that live keep theirs until they end."""
        for _ in range(_ATTEMPTS):
            keyring, now = await self._place.read(), int(time.time())
            record, secret = new_refresh_key(now)
            rotated = keyring.with_refresh_key(record, int(now - self._rules.session_lifetime))
            try:
                await self._place.replace(keyring, rotated, PrivateKeys(refresh={record.key_id: secret}))
            except KeyringConflictError:
                continue
            return rotated
        raise KeyringConflictError("The keyring keeps changing; try again.")

    async def supersede(self, kid: str) -> Keyring:
        """Has another key take the place of `kid`, if it signs or is next, whatever verifiers have seen; for emergencies."""
        keyring, now = await self._place.read(), int(time.time())
        if kid not in {record.kid for record in keyring.signing}:
            raise KeyringError(f"There is no key {kid}.")
        if kid == keyring.current.kid:
            return await self._promote(keyring, keyring, now, urgent=True)
        if kid == keyring.next.kid:
            successor, key = await self._new_key(KeyState.NEXT, now)
            superseded = keyring.with_next(successor, now)
            await self._place.replace(keyring, superseded, PrivateKeys({successor.kid: key}))
            return superseded
        return keyring

    async def supersede_everything(self) -> Keyring:
        """Has new keys take the place of all, of the refresh key too: whoever copied them can make any token."""
        keyring, now = await self._place.read(), int(time.time())
        (current, signing), (following, about_to) = (
            await self._new_key(KeyState.CURRENT, now),
            await self._new_key(KeyState.NEXT, now),
        )
        refresh, secret = new_refresh_key(now)
        superseded = keyring.restarted(current, following, now).with_only_refresh_key(refresh)
        made = PrivateKeys({current.kid: signing, following.kid: about_to}, {refresh.key_id: secret})
        await self._place.replace(keyring, superseded, made)
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

    async def withdraw(self, *kids: str) -> Keyring:
        """Never again publishes, or accepts, these keys, and has Redis remember that: a database or a folder that is restored
        from an older backup does not know."""
        keyring = await self._place.read()
        withdrawn = keyring.withdrawn(*kids)
        if withdrawn is not keyring:
            await self._place.replace(keyring, withdrawn)
        await self._publications.remember_withdrawn(kids)
        return withdrawn

    async def _promote(self, old: Keyring, ready: Keyring, now: int, *, urgent: bool = False) -> Keyring:
        successor, key = await self._new_key(KeyState.NEXT, now)
        promoted = ready.promoted(successor, now, urgent=urgent)
        await self._place.replace(old, promoted, PrivateKeys({successor.kid: key}))
        return promoted

    async def _readiness(self) -> Readiness:
        live = await self._verifiers.live()
        return Readiness(await self._publications.servers(), {each.name: each.kids for each in live})

    async def _new_key(self, state: KeyState, now: int) -> tuple[SigningKeyRecord, RSAPrivateKey]:
        return await asyncio.to_thread(new_signing_key, self._rules.bits, state, now)
