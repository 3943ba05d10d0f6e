"""API keys at a service: exchanged once at the issuer for an access token, which is then verified locally like any other.

What is remembered is found by the SHA-256 of a key, never by the key itself. While a token lives nobody waits for the issuer,
and keys that nobody ever accepted cannot make this service flood it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, TypeVar

from identity.verifier.backoff import Backoff
from identity.verifier.compact import strict_json_object
from identity.verifier.errors import ExchangeUnavailable, InvalidToken, Refusal, RevocationsStale
from identity.verifier.feed import WhenStale
from identity.verifier.issuer import FetchFailed, IssuerClient
from identity.verifier.profile import (
    API_KEY_GRANT,
    API_KEY_PARAMETER,
    MAX_ACCESS_TOKEN_LIFETIME,
    MAX_TOKEN_BYTES,
    is_api_key,
)
from identity.verifier.token import VerifiedToken
from identity.verifier.verifier import Verifier

EXCHANGE_SECONDS: Final = 2.0
"""An exchange, discovery included, is over after this time, whatever the issuer does (V19)."""

API_KEY_COOLDOWN: Final = 10.0
"""Seconds before a key that was refused is tried again."""

STRANGERS_AT_ONCE: Final = 16
STRANGERS_IN_A_ROW: Final = 1000
STRANGERS_PER_SECOND: Final = 20
"""How many keys that the issuer did not accept yet it is asked about: at the same time, and, where it refuses them, in a burst
and steadily. Anyone can write a key whose checksum is right; beyond this new keys wait, and those in use notice nothing."""

_REFUSED: Final = frozenset({400, 401})
_MAX_ANSWER_BYTES: Final = 2 * MAX_TOKEN_BYTES
_never: Final = float("-inf")

T = TypeVar("T")

log = logging.getLogger("identity.verifier")


@dataclass(slots=True)
class _Held:
    """The token of a key. Times are monotonic: from `renew_at` on the next one is fetched beside the requests; `replaced_at` is
    when this one came in place of one that was refused."""

    token: str = field(repr=False)
    renew_at: float
    dead_at: float
    replaced_at: float = _never


class ApiKeyExchange:
    """Verifies API keys by way of the tokens they are exchanged for. `ApiKeyGuard` and `BearerMiddleware` take it.

    One exchange for each key at a time; `cooldown` seconds between those of a key that was refused, or whose token was. Memory
    is bounded by `cache_size` keys, and as many refused ones, which never displace a good one. Like its verifier it may be made
    before a fork, and is used from one event loop at a time.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        cooldown: float = API_KEY_COOLDOWN,
        cache_size: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if cooldown <= 0 or cache_size <= 0:
            raise ValueError("cooldown and cache_size are positive")
        self.verifier: Final = verifier
        self._cooldown = cooldown
        self._cache_size = cache_size
        self._monotonic = monotonic
        self._held: dict[bytes, _Held] = {}
        self._refused: dict[bytes, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flights: dict[bytes, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(STRANGERS_AT_ONCE)
        self._allowance = _Allowance(STRANGERS_IN_A_ROW, STRANGERS_PER_SECOND)
        self._backoff = Backoff(0.2, 5.0)
        self._down_until = _never
        self._failure = ""

    async def verify(self, key: str, *, when_stale: WhenStale | None = None) -> VerifiedToken:
        """Returns the verified token of the key, or raises a `VerificationError`.

        Suspends only where there is no living token: for a key that is new here, was not used for a while, or whose token was
        refused. `when_stale` is as in `Verifier.verify`.
        """
        digest = sha256(key.encode("utf-8", "surrogatepass")).digest()
        held, now = self._held.get(digest), self._monotonic()
        if held is None or now >= held.dead_at:
            held = await self._fetch(digest, key)
        elif now >= held.renew_at and self._current_flight(digest) is None and now >= self._down_until:
            self._start(digest, key, held.replaced_at)
        try:
            return await self.verifier.verify(held.token, when_stale=when_stale)
        except RevocationsStale:
            raise  # Another token would be as doubtful.
        except InvalidToken:
            # Revoked with its key, or only because its owner may less now: the issuer knows.
            held = await self._replace(digest, key, held)
            if held is None:
                raise
        return await self.verifier.verify(held.token, when_stale=when_stale)

    async def _replace(self, digest: bytes, key: str, refused: _Held) -> _Held | None:
        """Returns a token in place of one that was refused; nothing when that was done less than a cooldown ago."""
        held, now = self._held.get(digest), self._monotonic()
        if held is not None and held is not refused:
            return held
        if now < refused.replaced_at + self._cooldown:
            return None
        refused.dead_at = now
        return await self._fetch(digest, key, replaced_at=now)

    async def _fetch(self, digest: bytes, key: str, replaced_at: float = _never) -> _Held:
        """Joins the exchange under way or starts one, if the key is worth it. A caller that is cancelled leaves it running."""
        flight = self._current_flight(digest)
        if flight is None:
            self._require_worth_asking(digest, key)
            flight = self._start(digest, key, replaced_at)
        await asyncio.shield(flight)
        held = self._held.get(digest)
        if held is not None and self._monotonic() < held.dead_at:
            return held
        if self._monotonic() < self._refused.get(digest, _never):
            raise InvalidToken(Refusal.INVALID_API_KEY)
        raise ExchangeUnavailable(self._failure)

    def _require_worth_asking(self, digest: bytes, key: str) -> None:
        """Returns when the issuer should be asked about this key, or raises the answer that needs no asking."""
        now = self._monotonic()
        if now < self._refused.get(digest, _never) or not is_api_key(key):
            raise InvalidToken(Refusal.INVALID_API_KEY)
        if now < self._down_until:
            raise ExchangeUnavailable(self._failure)
        if digest not in self._held and not self._allowance.take(now):
            raise ExchangeUnavailable("too many keys that the issuer refuses")

    def _current_flight(self, digest: bytes) -> asyncio.Task[None] | None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # What was under way in another event loop, or before a fork, never ends here.
            self._loop, self._flights, self._slots = loop, {}, asyncio.Semaphore(STRANGERS_AT_ONCE)
        return self._flights.get(digest)

    def _start(self, digest: bytes, key: str, replaced_at: float) -> asyncio.Task[None]:
        flight = self.verifier.spawn(lambda client: self._exchange(client, digest, key, replaced_at))
        self._flights[digest] = flight
        return flight

    async def _exchange(self, client: IssuerClient, digest: bytes, key: str, replaced_at: float) -> None:
        """Asks the issuer, and remembers what it said; never fails."""
        sent_at = self._monotonic()
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS), nullcontext() if digest in self._held else self._slots:
                token, lifetime = await self._ask(client, key)
        except Exception as error:  # whatever went wrong, a token that lives is used on
            if isinstance(error, FetchFailed) and error.status in _REFUSED:
                self._note_refusal(digest)
            else:
                self._note_failure(error)
        else:
            self._note_token(digest, _Held(token, *_times(sent_at, lifetime), replaced_at))
        finally:
            if self._flights.get(digest) is asyncio.current_task():  # not one left over from another event loop
                del self._flights[digest]

    async def _ask(self, client: IssuerClient, key: str) -> tuple[str, int]:
        form = {"grant_type": API_KEY_GRANT, API_KEY_PARAMETER: key, "resource": self.verifier.audience}
        answer = await client.post_token(form, limit=_MAX_ANSWER_BYTES, fresh=bool(self._failure))
        said = strict_json_object(answer.body)
        token, lifetime = said.get("access_token"), said.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(lifetime, int) or lifetime < 1:
            raise FetchFailed("the answer of the token endpoint is none")
        return token, min(lifetime, MAX_ACCESS_TOKEN_LIFETIME)

    def _note_token(self, digest: bytes, held: _Held) -> None:
        self._failure = ""
        self._backoff.reset()
        if digest not in self._held:
            self._allowance.give_back()
        self._refused.pop(digest, None)
        _put(self._held, digest, held, self._cache_size)

    def _note_refusal(self, digest: bytes) -> None:
        """The issuer has spoken: a token that still lives is given up with its key."""
        self._failure = ""
        self._backoff.reset()
        self._held.pop(digest, None)
        _put(self._refused, digest, self._monotonic() + self._cooldown, self._cache_size)

    def _note_failure(self, error: Exception) -> None:
        """Leaves the issuer alone for a moment; in between nobody waits for it."""
        self._failure = type(error).__name__ if not isinstance(error, FetchFailed) else f"FetchFailed: {error}"
        self._down_until = self._monotonic() + self._backoff.next()
        log.warning("an API key could not be exchanged: %s", self._failure)


class _Allowance:
    """A number that is taken from, and grows back steadily up to where it began."""

    def __init__(self, most: float, per_second: float) -> None:
        self._most = most
        self._per_second = per_second
        self._left = most
        self._as_of = _never

    def take(self, now: float) -> bool:
        """Takes one if there is one. `now` is monotonic."""
        self._left = min(self._most, self._left + (now - self._as_of) * self._per_second)
        self._as_of = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """Undoes one `take`."""
        self._left = min(self._most, self._left + 1)


def _times(sent_at: float, lifetime: int) -> tuple[float, float]:
    """Returns when to renew a token that lives for `lifetime` seconds, and when it is dead."""
    ahead = random.uniform(0.75, 0.85)  # noqa: S311 - spreads load, guards nothing
    return sent_at + lifetime * ahead, sent_at + lifetime


def _put(memory: dict[bytes, T], digest: bytes, value: T, most: int) -> None:
    """Remembers `value` as the newest, and forgets the oldest beyond `most`."""
    memory.pop(digest, None)
    memory[digest] = value
    if len(memory) > most:
        del memory[next(iter(memory))]
