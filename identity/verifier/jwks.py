"""The issuer's public keys by `kid`: looking one up never waits, and an issuer that hangs takes nothing away."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from identity.verifier.backoff import Backoff
from identity.verifier.errors import InvalidToken, KeysUnavailable, Refusal, VerificationError
from identity.verifier.issuer import FETCH_SECONDS, IssuerClient
from identity.verifier.observer import NOBODY, Telling
from identity.verifier.profile import ALGORITHM, JWKS_MIN_LIFETIME, MAX_JWKS_BYTES, RuleKind, rule_digest
from identity.verifier.public_keys import read_jwks
from identity.verifier.signatures import PublicKey

_never: Final = float("-inf")

log = logging.getLogger("identity.verifier")


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """`cooldown`: seconds between fetches that unknown kids may cause. `max_stale`: seconds keys outlive the last fetch."""

    cooldown: float
    max_stale: float


class KeySet:
    """The keys of one issuer, for these algorithms; others are not kept. All times are of the monotonic clock handed in.

    `usable_until` is when the keys are too old to be believed; `generation` changes whenever a key comes or goes, so that
    whoever remembers something about a key can forget it. `fetched` is set after every good answer; `on_return` is called in
    the very step in which an issuer gave its keys that had not, or not yet, before any token is judged by them.
    """

    def __init__(
        self,
        limits: KeyLimits,
        monotonic: Callable[[], float],
        telling: Telling = NOBODY,
        algorithms: Collection[str] = (ALGORITHM,),
    ) -> None:
        self.algorithms = frozenset(algorithms)
        self._limits = limits
        self._telling = telling
        self._monotonic = monotonic
        self._keys: dict[str, PublicKey] = {}
        self._withdrawn: set[bytes] = set()
        self._flight: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._client: IssuerClient | None = None
        self._backoff = Backoff(0.2, 5.0)
        self._pause = 0.0
        self._last_search = _never
        self._failure: str | None = None
        self._is_first = True
        self.fetched_at = _never
        self.usable_until = _never
        self.generation = 0
        self.fetched = asyncio.Event()
        self.on_return: Callable[[], None] = lambda: None

    @property
    def is_failing(self) -> bool:
        """Whether the last fetch failed, and the next one waits."""
        return self._failure is not None

    @property
    def kids(self) -> tuple[str, ...]:
        """The kids held, none of them withdrawn."""
        return tuple(self._keys)

    @property
    def held(self) -> dict[str, PublicKey]:
        """The keys themselves. Replaced whole when they change, so whoever holds this dictionary may read it at leisure."""
        return self._keys

    @property
    def withdrawn(self) -> frozenset[bytes]:
        """The digests of the keys that are never accepted again."""
        return frozenset(self._withdrawn)

    def get(self, kid: str) -> PublicKey | None:
        """Returns the key if it is known and not withdrawn. `kid` is compared, never interpreted (V11)."""
        return self._keys.get(kid)

    async def find(self, kid: str) -> PublicKey:
        """Returns the key, asking the issuer if it is unknown: one fetch at a time and per cooldown (V17).

        Raises `InvalidToken` when there is no such key and `KeysUnavailable` when nobody can tell.
        """
        if rule_digest(RuleKind.KEY, kid) in self._withdrawn:
            raise InvalidToken(Refusal.WITHDRAWN_KEY)
        if not self._is_usable():
            await self._first_keys()
        elif kid not in self._keys:
            await self._search()
        if (key := self._keys.get(kid)) is None:
            raise InvalidToken(Refusal.UNKNOWN_KEY)
        return key

    def why_missing(self, kid: str) -> VerificationError:
        """Returns what to tell who cannot wait for `find`: that there is no such key, or that it is not known yet."""
        if rule_digest(RuleKind.KEY, kid) in self._withdrawn:
            return InvalidToken(Refusal.WITHDRAWN_KEY)
        if self._is_usable() and self._flight is None and self._is_cooling():
            return InvalidToken(Refusal.UNKNOWN_KEY)
        return KeysUnavailable(self._failure or "the key is not at hand")

    def search_soon(self) -> None:
        """Starts what `find` would wait for, if it may: in the event loop, without waiting."""
        if self._flight is None and self._is_usable() and not self._is_cooling():
            self._last_search = self._monotonic()
            self._take_off()

    def withdraw(self, digest: bytes) -> None:
        """Makes the key with this `rule_digest` unacceptable for good, whatever a JWKS or a snapshot says (K06)."""
        if digest in self._withdrawn:
            return
        self._withdrawn.add(digest)
        self._replace(self._keys)

    def resume(self, keys: dict[str, PublicKey], fetched_at: float) -> None:
        """Takes up keys of an earlier process if they may still be believed and none was fetched since."""
        usable_until = fetched_at + self._limits.max_stale
        # The earlier process may have accepted more (V01).
        allowed = {kid: key for kid, key in keys.items() if key.algorithm in self.algorithms}
        if not allowed or fetched_at <= self.fetched_at or usable_until <= self._monotonic():
            return
        self._replace(allowed)
        self.fetched_at, self.usable_until = fetched_at, usable_until

    def refresh_soon(self) -> None:
        """Has the keys fetched again at once, in the background."""
        self._wake.set()

    def attach(self, client: IssuerClient) -> None:
        """Starts over with the connections of another event loop or process; the keys stay."""
        self._client = client
        self._flight = None
        self._wake, self.fetched = asyncio.Event(), asyncio.Event()
        self._pause = 0.0

    def under_way(self) -> tuple[asyncio.Task[None], ...]:
        """The fetch that is running, if any."""
        return () if self._flight is None else (self._flight,)

    async def keep_fresh(self) -> None:
        """Fetches the keys ahead of their expiry, for ever. Failures are repeated with a growing pause."""
        while True:
            try:
                async with asyncio.timeout(self._pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self._refresh()

    def _is_usable(self) -> bool:
        return self._monotonic() < self.usable_until

    async def _first_keys(self) -> None:
        """Waits for a fetch that is under way or did not fail yet; in between, nobody waits for a dead issuer."""
        if self._flight is not None or self._failure is None:
            await self._refresh()
        if not self._is_usable():
            raise KeysUnavailable(self._failure or "")

    async def _search(self) -> None:
        if self._flight is None:
            if self._is_cooling():
                return
            self._last_search = self._monotonic()
        await self._refresh()

    def _is_cooling(self) -> bool:
        return self._monotonic() - self._last_search < self._limits.cooldown

    async def _refresh(self) -> None:
        """Joins the fetch under way or starts one. A caller that is cancelled leaves it running for the others."""
        await asyncio.shield(self._flight or self._take_off())

    def _take_off(self) -> asyncio.Task[None]:
        self._flight = asyncio.get_running_loop().create_task(self._fetch())
        return self._flight

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                lifetime = await self._fetch_once()
        except (
            Exception
        ) as error:  # whatever went wrong, good keys stay and the next fetch may succeed (CVE-2026-48524)
            self._failure = f"{type(error).__name__}: {error}"
            self._pause = self._backoff.next()
            log.warning("the keys of the issuer could not be fetched: %s", self._failure)
            self._telling.tell(lambda observer: observer.keys_fetched(failed=True))
        else:
            if self._is_first or self._failure is not None:
                self.on_return()
            self._is_first, self._failure = False, None
            self.fetched.set()
            self._backoff.reset()
            self._telling.tell(lambda observer: observer.keys_fetched(failed=False))
            self._pause = lifetime * random.uniform(0.75, 0.85)  # noqa: S311 - spreads load, guards nothing
        finally:
            if self._flight is asyncio.current_task():  # not one left over from another event loop
                self._flight = None

    async def _fetch_once(self) -> float:
        assert self._client is not None
        sent_at = self._monotonic()
        metadata = await self._client.metadata(fresh=self._failure is not None)
        answer = await self._client.get(metadata.jwks_uri, limit=MAX_JWKS_BYTES)
        self._replace(read_jwks(answer.body, self.algorithms))
        self.fetched_at = sent_at
        self.usable_until = sent_at + self._limits.max_stale
        return max(JWKS_MIN_LIFETIME, answer.lifetime)

    def _replace(self, keys: dict[str, PublicKey]) -> None:
        usable = {kid: key for kid, key in keys.items() if rule_digest(RuleKind.KEY, kid) not in self._withdrawn}
        if usable != self._keys:  # keys are compared by their numbers
            self._keys = usable
            self.generation += 1
