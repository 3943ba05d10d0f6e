"""The keys a running server holds, and how it notices that they changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from jwt import PyJWK

from identity.keyring.algorithms import PrivateKey
from identity.keyring.place import KeyPlace, KeyPlaceAwayError, KeyringConflictError
from identity.keyring.public_keys import published_key
from identity.keyring.publication import Publications, is_behind
from identity.keyring.signers import PublishedKeys, RefreshAuthenticator, Signer
from identity.keyring.states import Keyring, KeyringError, KeyState
from identity.verifier.profile import ALGORITHM

RELOAD_SECONDS = 1.0
"""How often a running server asks whether the keyring changed."""

RELOAD_BOUND_SECONDS = 5
"""A running server signs and publishes by a changed keyring within this time."""

log = structlog.get_logger("identity.keyring")


@dataclass(frozen=True, slots=True)
class LoadedKeys:
    """One version of the keyring, ready for use: what signs and what is published change together, never one alone."""

    keyring: Keyring
    signers: dict[str, Signer]
    authenticator: RefreshAuthenticator
    published: PublishedKeys
    public_keys: dict[str, PyJWK] = field(compare=False)
    _private: dict[str, PrivateKey] = field(repr=False)
    _refresh: dict[str, bytes] = field(repr=False)

    @property
    def signer(self) -> Signer:
        """What signs with RS256."""
        return self.signers[ALGORITHM]

    def signer_for(self, algorithm: str) -> Signer:
        """Returns what signs with `algorithm`, or raises `NoSignerError`: never is anything signed with another (K04)."""
        signer = self.signers.get(algorithm)
        if signer is None:
            raise NoSignerError(algorithm)
        return signer


class NoSignerError(KeyringError):
    """The keyring has no key of this algorithm, or none that signs yet."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(
            f"No key signs with {algorithm}; `identity keys list` shows which do, `identity keys add {algorithm}` makes one."
        )


async def load_keys(place: KeyPlace, known: LoadedKeys | None = None) -> LoadedKeys:
    """Loads the keyring, or raises `KeyringError`. Keys in `known` are not read again.

    The next key is loaded too, long before it signs: a damaged one shows at start, not in the middle of a rotation.
    """
    keyring = await place.read()
    while True:
        try:
            return await _load(place, keyring, known)
        except KeyringError:
            # A key may have been withdrawn between the two looks; only a keyring that still stands is to blame.
            standing, keyring = keyring, await place.read()
            if keyring == standing:
                raise


async def _load(place: KeyPlace, keyring: Keyring, known: LoadedKeys | None) -> LoadedKeys:
    private = {} if known is None else known._private
    refresh = {} if known is None else known._refresh
    signing = [record for record in keyring.signing if record.state in (KeyState.CURRENT, KeyState.NEXT)]
    private = {record.kid: private.get(record.kid) or await place.load_signing_key(record) for record in signing}
    refresh = {
        record.key_id: refresh.get(record.key_id) or await place.load_refresh_key(record) for record in keyring.refresh
    }
    return LoadedKeys(
        keyring,
        {name: Signer.of(key.kid, private[key.kid], name) for name, key in keyring.currents.items()},
        RefreshAuthenticator(keyring.refresh[0].key_id, refresh),
        PublishedKeys.of(record.public for record in keyring.published),
        {record.kid: published_key(record.public) for record in keyring.published},
        private,
        refresh,
    )


class LiveKeys:
    """Holds the newest good version of the keyring. A place that is away or turns bad, or that goes back to what it held
    before, is logged, and the last good version stays in use."""

    now: LoadedKeys

    def __init__(self, place: KeyPlace, known: LoadedKeys | None = None) -> None:
        self._place = place
        self._known = known
        self._stamp: object = None
        self._logged: str | None = None
        self.on_change: Callable[[], None] = lambda: None
        """Called when another version of the keyring is in force, so that verifiers can be told at once."""
        self.problem = ""
        """Why this process must be sent no requests, if other servers publish keys that its own keyring does not name."""

    async def start(self) -> None:
        """Loads the keys, or raises `KeyringError`."""
        self._stamp = await self._place.stamp() if await self._place.is_initialised() else None
        self.now = await load_keys(self._place, self._known)
        if self.now.keyring.moved_to:
            log.warning("the keys have moved; set IDENTITY_KEYS_IN to where they are", to=self.now.keyring.moved_to)

    async def watch(self, publications: Publications, keep_seconds: float, remember_seconds: float) -> None:
        """Until cancelled: reloads the keyring when it changed, says what this process publishes, retires previous keys that
        stopped signing more than `keep_seconds` ago, when no token of theirs is alive, and forgets retired ones that did more
        than `remember_seconds` ago."""
        try:
            async with (
                asyncio.TaskGroup() as tasks
            ):  # A place that is slow to answer makes nobody count this process as dead.
                tasks.create_task(_every_second(lambda: self._look(keep_seconds, remember_seconds)))
                tasks.create_task(_every_second(lambda: self._report(publications)))
        finally:
            await publications.leave()

    async def _look(self, keep_seconds: float, remember_seconds: float) -> None:
        try:
            await self._reload()
            keyring, now = self.now.keyring, time.time()
            tidied = keyring.retired(int(now - keep_seconds), int(now - remember_seconds))
            if tidied is not keyring:
                await self._place.replace(keyring, tidied)
            self._logged = None
        except KeyringConflictError:
            return
        except (KeyringError, OSError) as error:
            # Once, not every second; a store that is away has many ways of saying so.
            problem = "" if isinstance(error, KeyPlaceAwayError) else str(error)
            if problem != self._logged:
                self._logged = problem
                log.error("keyring kept at its last good version", version=self.now.keyring.version, problem=str(error))

    async def _reload(self) -> None:
        stamp = await self._place.stamp()
        if stamp != self._stamp:
            loaded = await load_keys(self._place, self.now)
            _require_forward(self.now.keyring, loaded.keyring)
            self.now, self._stamp = loaded, stamp
            self.on_change()
            log.info("keyring reloaded", version=self.now.keyring.version, kid=self.now.signer.kid)

    async def _report(self, publications: Publications) -> None:
        keyring = self.now.keyring
        others = await publications.report(self.now.published.kids, keyring.withdrawn_kids)
        problem = is_behind(keyring, others, RELOAD_BOUND_SECONDS)
        if problem != self.problem:
            log.error("the keyrings of the servers differ", problem=problem) if problem else log.info("keyrings agree")
        self.problem = problem


def _require_forward(known: Keyring, loaded: Keyring) -> None:
    """Somebody put an older one back, which no transition makes: what happened since would be undone, a withdrawal too."""
    revived = set(known.withdrawn_kids).intersection(record.kid for record in loaded.published)
    if loaded.version < known.version or revived:
        raise KeyringError(
            f"The keyring went back from version {known.version} to {loaded.version}; restore the newest one."
        )


async def _every_second(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        await step()
        await asyncio.sleep(RELOAD_SECONDS)
