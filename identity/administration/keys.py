"""Signing keys: list, rotate, export. A rotation never meets a verifier that has not had the time to see the key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from identity.feed.stores import StoreUnavailableError
from identity.feed.verifiers import Verifiers
from identity.keyring.algorithms import PrivateKey
from identity.keyring.live import RELOAD_BOUND_SECONDS, NoSignerError
from identity.keyring.making import first_keyring, new_refresh_key, new_signing_key
from identity.keyring.place import KeyPlace, KeyringConflictError, PrivateKeys
from identity.keyring.publication import Publications, Readiness, TooEarlyError
from identity.keyring.signers import PublishedKeys
from identity.keyring.states import Keyring, KeyringError, KeyState, SigningKeyRecord
from identity.verifier.profile import ALGORITHM, ALGORITHMS

_ATTEMPTS = 5
_PROGRESS_SECONDS = 5.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class KeyRules:
    """How keys are made and when they move on. Seconds. `algorithms` are those that a keyring is to hold."""

    bits: int
    publication_seconds: float
    token_horizon: float
    session_lifetime: float
    algorithms: tuple[str, ...] = (ALGORITHM,)

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
        rules = self._rules
        keyring, private = await asyncio.to_thread(first_keyring, rules.bits, int(time.time()), rules.algorithms)
        await self._place.create(keyring, private)
        return keyring

    async def list(self) -> Keyring:
        """Returns the keyring as it stands."""
        return await self._place.read()

    async def export(self) -> bytes:
        """Returns the JWKS of the published keys."""
        return PublishedKeys.of(record.public for record in (await self._place.read()).published).body

    async def add(self, algorithm: str) -> Keyring:
        """Publishes a first key of an algorithm that the keyring does not hold; `rotate` lets it sign (K01). `KeyringError`
        when it is held already, or there is no such algorithm."""
        if algorithm not in ALGORITHMS:
            raise KeyringError(f"There is no algorithm {algorithm!r}; there are {', '.join(ALGORITHMS)}.")
        keyring, now = await self._place.read(), int(time.time())
        first, key = await self._new_key(algorithm, KeyState.NEXT, now)
        added = keyring.with_algorithm(first)
        await self._place.replace(keyring, added, PrivateKeys({first.kid: key}))
        return added

    async def missing(self) -> tuple[str, ...]:
        """Returns the algorithms that the keyring is to hold, and does not."""
        held = (await self._place.read()).nexts
        return tuple(algorithm for algorithm in self._rules.algorithms if algorithm not in held)

    async def require_signing(self, algorithm: str) -> None:
        """Raises `KeyringError` unless a key signs with `algorithm`: for whoever registers something that wants it."""
        if algorithm not in (await self._place.read()).currents:
            raise NoSignerError(algorithm)

    async def rotate(self, force: bool = False, algorithms: Collection[str] | None = None) -> Keyring:
        """Promotes the next key, of each of these algorithms or of all, and makes new next ones, in one step. Raises
        `TooEarlyError` when a living server has not published one long enough, or a live verifier does not hold it, unless
        forced. An operator who comes second finds the version changed, and nothing is done twice."""
        keyring = await self._place.read()
        chosen = _held(keyring, algorithms)
        if not force:
            (await self._readiness()).require(keyring, self._rules.publication_seconds, time.time(), chosen)
        now = int(time.time())
        ready = keyring.retired(int(now - self._rules.keep_seconds), int(now - self._rules.remember_seconds))
        return await self._promote(keyring, ready, now, chosen)

    async def rotate_when_ready(
        self, progress: Callable[[TooEarlyError], None], patience: float, algorithms: Collection[str] | None = None
    ) -> Keyring:
        """Rotates as soon as that is allowed, telling `progress` while it waits; gives up after `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return await self.rotate(algorithms=algorithms)
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
        stolen = next((record for record in keyring.signing if record.kid == kid), None)
        if stolen is None:
            raise KeyringError(f"There is no key {kid}.")
        if stolen.state is KeyState.CURRENT:
            return await self._promote(keyring, keyring, now, (stolen.algorithm,), urgent=True)
        if stolen.state is KeyState.NEXT:
            successor, key = await self._new_key(stolen.algorithm, KeyState.NEXT, now)
            superseded = keyring.with_next(successor, now)
            await self._place.replace(keyring, superseded, PrivateKeys({successor.kid: key}))
            return superseded
        return keyring

    async def supersede_everything(self) -> Keyring:
        """Has new keys take the place of all, of the refresh key too: whoever copied them can make any token."""
        keyring, now = await self._place.read(), int(time.time())
        stolen = (*keyring.currents.values(), *keyring.nexts.values())
        made = [await self._new_key(record.algorithm, record.state, now) for record in stolen]
        refresh, secret = new_refresh_key(now)
        restarted = keyring.restarted(*(record for record, _ in made), now=now)
        superseded = restarted.with_only_refresh_key(refresh)
        private = PrivateKeys({record.kid: key for record, key in made}, {refresh.key_id: secret})
        await self._place.replace(keyring, superseded, private)
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

    async def _promote(
        self, old: Keyring, ready: Keyring, now: int, algorithms: Collection[str], *, urgent: bool = False
    ) -> Keyring:
        made = [await self._new_key(algorithm, KeyState.NEXT, now) for algorithm in algorithms]
        promoted = ready.promoted(*(record for record, _ in made), now=now, urgent=urgent)
        await self._place.replace(old, promoted, PrivateKeys({record.kid: key for record, key in made}))
        return promoted

    async def _readiness(self) -> Readiness:
        live = await self._verifiers.live()
        return Readiness(await self._publications.servers(), {each.name: each.kids for each in live})

    async def _new_key(self, algorithm: str, state: KeyState, now: int) -> tuple[SigningKeyRecord, PrivateKey]:
        return await asyncio.to_thread(new_signing_key, self._rules.bits, state, now, algorithm)


def _held(keyring: Keyring, algorithms: Collection[str] | None) -> tuple[str, ...]:
    """Returns these algorithms, or all, if the keyring holds them."""
    for algorithm in algorithms or ():
        if algorithm not in keyring.nexts:
            raise KeyringError(f"The keyring holds no key for {algorithm}; `identity keys add {algorithm}` makes one.")
    return tuple(keyring.nexts) if algorithms is None else tuple(algorithms)
