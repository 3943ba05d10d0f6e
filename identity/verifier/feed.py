"""Following the revocation feed: one long poll after the other, and how old what they told is."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, get_args
from urllib.parse import quote_plus, urlencode

from identity.verifier.backoff import Backoff
from identity.verifier.feed_answers import FeedAnswer, FeedOutOfStep, read_answer
from identity.verifier.issuer import FetchFailed, IssuerClient
from identity.verifier.jwks import KeySet
from identity.verifier.observer import NOBODY, Telling
from identity.verifier.profile import COLUMNS, FEED_MAX_WAIT
from identity.verifier.revocations import LARGE_PICTURE, LiveRules, Picture, PictureState

WhenStale = Literal["accept", "reject", "introspect"]
"""What to do with a good token while the picture cannot tell whether it was revoked: let it pass, refuse it, or ask the issuer
about this one and refuse it when there is no answer."""

FIRST_SYNC_SECONDS: Final = 2.0
"""How long the first requests of a process wait for the first picture, at most and only once."""

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A snapshot of a million rules fits, in columns twice."""

_LARGE_ANSWER_BYTES: Final = 128 * 1024
"""About 5,000 rules in columns, which take some 10 ms."""

_LONGEST_PAUSE_SECONDS: Final = 1.5
"""However long the feed was away, what is revoked once it is back arrives in the two seconds that are promised. A thousand
services cost an issuer that refuses them a tenth of a core."""

_IDLE_SECONDS: Final = 0.5
"""A poll that took at least this long waited at the server, as it should."""

log = logging.getLogger("identity.verifier")


@dataclass(frozen=True, slots=True)
class Credential:
    """What this service calls itself to the issuer, to read the feed."""

    client_id: str
    secret: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The `Authorization` header; id and secret are form-encoded first (RFC 6749 section 2.3.1)."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}"
        return "Basic " + b64encode(pair.encode()).decode()


class Anonymous(Enum):
    """Following the feed without a credential, where the issuer allows that."""

    ANONYMOUS = "anonymous"


ANONYMOUS: Final = Anonymous.ANONYMOUS


def check_policy(when_stale: str, credential: Credential | Anonymous | None) -> None:
    """Raises `ValueError` for a policy that there is not, or that whoever has this credential cannot follow."""
    if when_stale not in get_args(WhenStale):
        raise ValueError(f"when_stale is one of {', '.join(get_args(WhenStale))}")
    if when_stale == "introspect" and not isinstance(credential, Credential):
        raise ValueError("only a verifier with a credential may ask about tokens")


class FeedFollower:
    """Keeps a `Picture` current and knows how stale it may be. Times are monotonic seconds.

    `fresh_until` is when the picture becomes older than `max_staleness`: counted from when the last answered poll was
    *sent*, plus what the server said about its own knowledge, so no delay on the way can hide.
    """

    def __init__(
        self,
        credential: Credential | Anonymous,
        keys: KeySet,
        max_staleness: float,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        telling: Telling = NOBODY,
    ) -> None:
        self._telling = telling
        self._credential = credential
        self._keys = keys
        keys.on_return = self._note_return
        self._max_staleness = max_staleness
        self._monotonic = monotonic
        self._wall = wall
        self._wait = min(FEED_MAX_WAIT, max_staleness / 3)
        self._backoff = Backoff(0.2, _LONGEST_PAUSE_SECONDS)
        self._jwks_version: str | None = None
        self._warned = False
        self._instance = ""
        self._process = self._turn = 0
        self._first_sync, self._hurry = asyncio.Event(), asyncio.Event()
        self._patience: asyncio.TimerHandle | None = None
        self.picture = Picture(keys.withdraw)
        self.fresh_until = float("-inf")

    def staleness(self) -> float:
        """Returns seconds since the picture was certainly complete; infinite before the first answer."""
        return self._monotonic() - self.fresh_until + self._max_staleness

    @property
    def complete_at(self) -> float:
        """When the picture was certainly complete; minus infinity before the first answer."""
        return self.fresh_until - self._max_staleness

    def resume(self, state: PictureState, complete_at: float) -> None:
        """Takes up the picture of an earlier process, complete as of `complete_at`, if this one was told nothing yet."""
        if self.picture.version == 0 and self.picture.cursor is None:
            self.picture.resume(state, self._wall())
            self.fresh_until = complete_at + self._max_staleness

    def note_stale(self, policy: WhenStale) -> None:
        """Logs that the picture is too old and what is done about it, once until it is fresh again."""
        if not self._warned:
            self._warned = True
            log.warning("the revocation feed is silent for more than %s s; policy: %s", self._max_staleness, policy)

    def attach(self) -> None:
        """Starts over in another event loop or process. The picture stays; whoever waits for the first one waits anew."""
        waited = self._process == os.getpid() and self._first_sync.is_set()
        if self._process != os.getpid():
            self._process, self._instance = os.getpid(), secrets.token_hex(16)
        self._first_sync, self._hurry, self._patience = asyncio.Event(), asyncio.Event(), None
        if waited or self._monotonic() < self.fresh_until:
            self._first_sync.set()
        else:
            self._be_patient()

    def _note_return(self) -> None:
        """An issuer that is back, and gave its keys, will give the feed too: nobody waits out a pause, and requests wait a
        moment for the picture. Or else a revoked token is accepted right after issuer and service were started together."""
        if self._monotonic() >= self.fresh_until:
            self._be_patient()
            self._hurry.set()

    def _be_patient(self) -> None:
        """Has requests wait for the picture, for a moment."""
        if self._patience is not None:
            self._patience.cancel()
        self._first_sync.clear()
        self._patience = asyncio.get_running_loop().call_later(FIRST_SYNC_SECONDS, self._first_sync.set)

    @property
    def awaits_first_sync(self) -> bool:
        """True until the picture is there, for `FIRST_SYNC_SECONDS` after the start, or an issuer's return, at most."""
        return not self._first_sync.is_set()

    async def first_sync(self) -> None:
        """Returns once `awaits_first_sync` is false."""
        await self._first_sync.wait()

    async def follow(self, client: IssuerClient) -> None:
        """Polls for ever, and tells the issuer at once when other keys are held than the waiting poll said."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_polling(client))
            tasks.create_task(self._keep_telling(client))

    async def _keep_telling(self, client: IssuerClient) -> None:
        """A rotation waits until every verifier holds the next key; the poll under way would say so up to 25 s later."""
        told = self._keys.kids
        while True:
            await self._keys.fetched.wait()
            self._keys.fetched.clear()
            if self._keys.kids != told:
                told = self._keys.kids
                await self._tell_keys(client)

    async def _tell_keys(self, client: IssuerClient) -> None:
        with suppress(Exception):  # the next poll says it again
            async with asyncio.timeout(FIRST_SYNC_SECONDS):
                feed, cursor = (await client.metadata()).feed, self.picture.cursor
                if feed is not None and cursor is not None:
                    address = self._address(feed, cursor, wait=0)
                    await client.get(address, limit=MAX_ANSWER_BYTES, headers=self._headers())

    async def _pause(self) -> None:
        """Waits before the next attempt, unless there is reason to believe that it will succeed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.next()):
                await self._hurry.wait()
        self._hurry.clear()

    async def _keep_polling(self, client: IssuerClient) -> None:
        """Failures and answers that say nothing too soon are followed by a growing pause."""
        is_failing = False
        while True:
            sent_at = self._monotonic()
            try:
                eventful = await self._poll(client, sent_at, is_failing)
            except Exception as error:  # the next poll may succeed; a follower that died would revoke nothing any more
                is_failing = True
                self._note_failure(error)
                await self._pause()
                continue
            if eventful or self._monotonic() - sent_at >= _IDLE_SECONDS:
                self._backoff.reset()
            elif not is_failing:  # else it was not to wait, and the next one is
                await self._pause()
            is_failing = False

    async def _poll(self, client: IssuerClient, sent_at: float, is_failing: bool) -> bool:
        """Asks once and takes the answer over. Returns whether it brought something new.

        After a failure the issuer is asked to answer at once: one that stays silent is then given up within seconds, and a
        service that refuses meanwhile goes on soon after the line is mended, not a whole wait later.
        """
        cursor = self.picture.cursor
        wait = 0.0 if is_failing or cursor is None else self._wait
        margin = max(1.0, min(5.0, self._max_staleness / 3))
        async with asyncio.timeout(wait + margin):
            feed = (await client.metadata(fresh=is_failing)).feed
            if feed is None:
                raise FetchFailed("the issuer offers no revocation feed")
            answer = await client.get(
                self._address(feed, cursor, wait), limit=MAX_ANSWER_BYTES, headers=self._headers()
            )
        before = self.picture.seq
        told, made = await _digest(answer.body, self.picture)
        self.picture.apply(told, self._wall(), made)
        self._note_answer(told, sent_at)
        await self._tidy()
        return cursor is None or (not told.snapshot and told.seq > before)

    async def _tidy(self) -> None:
        """Drops what expired from a picture so large that requests must not wait for that."""
        now = self._wall()
        if len(self.picture) > LARGE_PICTURE and self.picture.is_untidy(now):
            self.picture.keep(await asyncio.to_thread(self.picture.living, now), now)

    def _note_answer(self, answer: FeedAnswer, sent_at: float) -> None:
        self._telling.tell(lambda observer: observer.feed_polled(failed=False))
        self.fresh_until = sent_at - answer.as_of_age + self._max_staleness
        self._first_sync.set()
        if self._warned and self._monotonic() < self.fresh_until:
            self._warned = False
            log.warning("the revocation feed answers again")
        if self._keys.is_failing:
            self._keys.refresh_soon()
        if answer.jwks_version != self._jwks_version:
            if self._jwks_version is not None:
                self._keys.refresh_soon()
            self._jwks_version = answer.jwks_version

    def _note_failure(self, error: Exception) -> None:
        self._telling.tell(lambda observer: observer.feed_polled(failed=True))
        if isinstance(error, FeedOutOfStep):
            self.picture.forget_cursor()
        if isinstance(error, FetchFailed) and error.status == 401:
            log.error("the issuer does not accept the credential for the revocation feed")
        else:
            log.info("a poll of the revocation feed failed: %s: %s", type(error).__name__, error)

    def _address(self, feed: str, cursor: str | None, wait: float) -> str:
        kids = ",".join(kid for kid in self._keys.kids if "," not in kid)
        self._turn += 1  # What is told while a poll waits may overtake it on the way: it is not to be taken back by it.
        asked = {
            "wait": f"{wait:.3f}",
            "form": COLUMNS,
            "instance": self._instance,
            "kids": kids,
            "turn": str(self._turn),
        }
        if cursor is not None:
            asked["cursor"] = cursor
        return f"{feed}{'&' if '?' in feed else '?'}{urlencode(asked)}"

    def _headers(self) -> dict[str, str]:
        return {} if isinstance(self._credential, Anonymous) else {"Authorization": self._credential.authorization}


async def _digest(body: bytes, picture: Picture) -> tuple[FeedAnswer, LiveRules | None]:
    """Reads an answer. One of a million rules takes a second or more, in another thread: requests go on meanwhile."""
    if len(body) < _LARGE_ANSWER_BYTES:
        return read_answer(body), None
    return await asyncio.to_thread(_read_large, body, picture)


def _read_large(body: bytes, picture: Picture) -> tuple[FeedAnswer, LiveRules]:
    told = read_answer(body)
    return told, picture.after(told)
