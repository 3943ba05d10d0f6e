"""An unverified token in, a `VerifiedToken` or an error out."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from identity.verifier.claims import Expected
from identity.verifier.clocks import Clocks
from identity.verifier.compact import KeyReference, read_key_reference, split, to_bytes
from identity.verifier.errors import KeysUnavailable, RevocationsStale, VerificationError
from identity.verifier.feed import Anonymous, Credential, FeedFollower, WhenStale, check_policy
from identity.verifier.introspection import Introspector
from identity.verifier.issuer import IssuerClient, check_issuer
from identity.verifier.judging import Judge, Undecided
from identity.verifier.jwks import KeyLimits, KeySet
from identity.verifier.keeper import SnapshotKeeper
from identity.verifier.observer import Observer, Telling
from identity.verifier.profile import ALGORITHM, JWKS_COOLDOWN, LARGEST_LEEWAY, LEEWAY, Confirmation
from identity.verifier.signatures import check_algorithms
from identity.verifier.status import VerifierStatus
from identity.verifier.token import VerifiedToken

MAX_STALE_KEYS: Final = 24 * 3600.0
"""Seconds the last good keys are used while the issuer cannot be reached."""


class Verifier:
    """Verifies access tokens of one issuer for one audience, locally.

    Nothing starts before the first `verify` (or `start`) of each process and event loop, so an instance may be made at import
    time and before a fork. It runs in one event loop at a time; `verify_now` and `status` may be called from any thread.
    `clock` is Unix time, `monotonic` measures ages; both in seconds. Without a `credential` revocations are not followed;
    `ANONYMOUS` follows them where the issuer lets anyone. `snapshot` is a file for the keys and the picture of the feed: with
    it the service starts while the issuer is down. `observer` is told what to count. `algorithms` are those that are accepted,
    each with keys of its own (RFC 8725 section 3.1).
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        credential: Credential | Anonymous | None = None,
        when_stale: WhenStale = "accept",
        max_staleness: float = 60.0,
        leeway: float = LEEWAY,
        cooldown: float = JWKS_COOLDOWN,
        max_stale_keys: float = MAX_STALE_KEYS,
        cache_size: int = 10_000,
        algorithms: Collection[str] = (ALGORITHM,),
        snapshot: Path | None = None,
        observer: Observer | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_settings(issuer, audience, algorithms, max_staleness, leeway, ssl_context)
        self._credential = credential
        self.check_policy(when_stale)
        self.issuer: Final = issuer
        self.audience: Final = audience
        self._ssl_context = ssl_context
        self._monotonic = monotonic
        self._telling = telling = Telling(observer)
        self._is_observed = observer is not None
        self._keys = KeySet(KeyLimits(cooldown, max_stale_keys), monotonic, telling, algorithms)
        self._feed = _follower(credential, self._keys, max_staleness, monotonic, clock, telling)
        self._introspector = _introspector(credential, monotonic, telling)
        expected = Expected(issuer, audience, leeway, revision=credential is not None)
        clocks = Clocks(clock, monotonic)
        self._judge = Judge(expected, self._keys, self._feed, self._introspector, when_stale, cache_size, clocks)
        self._keeper = SnapshotKeeper(snapshot, issuer, self._keys, self._feed, clocks) if snapshot else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._client: IssuerClient | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._spawned: set[asyncio.Task[None]] = set()

    async def verify(
        self, token: str, *, when_stale: WhenStale | None = None, confirmation: Confirmation | None = None
    ) -> VerifiedToken:
        """Returns the token if everything about it is in order, or raises a `VerificationError`.

        Suspends only at the very first use, for a key not seen before, and to ask about a token while the picture is stale and
        the policy says so. `when_stale` overrides the policy for this call. A token that is bound to a key is accepted with the
        `confirmation` that its sender proved it, and with no other.
        """
        try:
            if self._loop is not asyncio.get_running_loop() or self._process != os.getpid():
                self._reference(token)  # garbage starts nothing (V17)
                self.start()
            if self._feed is not None and self._feed.awaits_first_sync:
                await self._first_sync()
            try:
                verified = self._judge.judge(token, when_stale, confirmation)
            except Undecided:
                verified = None
            if verified is None:
                verified = await self._verify_with_help(token, when_stale, confirmation)
        except VerificationError as error:
            self.tell_refused(error)
            raise
        if self._is_observed:
            self._tell_accepted()
        return verified

    def verify_now(
        self, token: str, *, when_stale: WhenStale | None = None, confirmation: Confirmation | None = None
    ) -> VerifiedToken:
        """Does what `verify` does, in any thread and without ever waiting, while the verifier runs in some event loop.

        Where `verify` would wait, it raises: `KeysUnavailable` for a key that is not at hand (which is looked for meanwhile)
        and for a verifier that does not run in this process, `RevocationsStale` for the first picture and for a token that
        would have to be asked about.
        """
        try:
            verified = self._verify_now(token, when_stale, confirmation)
        except VerificationError as error:
            self.tell_refused(error)
            raise
        if self._is_observed:
            self._tell_accepted()
        return verified

    def check_policy(self, when_stale: WhenStale) -> None:
        """Raises `ValueError` for a policy that there is not, or that this verifier cannot follow."""
        check_policy(when_stale, self._credential)

    def start(self) -> None:
        """Starts fetching keys and following the feed in the running event loop; `verify` does it when nobody did."""
        self._abandon()
        if self._process != os.getpid():
            self._judge.start_over()
        self._loop, self._process = asyncio.get_running_loop(), os.getpid()
        if self._keeper is not None:
            self._keeper.start_over()
            self._keeper.load()
        self._client = IssuerClient(self.issuer, self._ssl_context)
        self._keys.attach(self._client)
        if self._introspector is not None:
            self._introspector.attach(self._client)
        tasks = [self._loop.create_task(self._keys.keep_fresh())]
        if self._feed is not None:
            self._feed.attach()
            tasks.append(self._loop.create_task(self._feed.follow(self._client)))
        if self._keeper is not None:
            tasks.append(self._loop.create_task(self._keeper.keep()))
        self._tasks = tuple(tasks)

    async def aclose(self) -> None:
        """Ends what runs in the background. The verifier may be used again afterwards."""
        if self._loop is not asyncio.get_running_loop() or self._process != os.getpid():
            return
        asked = () if self._introspector is None else self._introspector.under_way()
        tasks, client = (*self._tasks, *self._spawned, *self._keys.under_way(), *asked), self._client
        self._loop, self._client, self._tasks = None, None, ()
        await _end(tasks, client)
        if self._keeper is not None:
            await self._keeper.flush()

    def spawn(self, work: Callable[[IssuerClient], Coroutine[None, None, None]]) -> asyncio.Task[None]:
        """Starts `work` with the connections to the issuer; it ends with the verifier, if not before."""
        if self._loop is not asyncio.get_running_loop() or self._process != os.getpid():
            self.start()
        assert self._client is not None
        task = asyncio.get_running_loop().create_task(work(self._client))
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        return task

    async def __aenter__(self) -> Verifier:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def status(self) -> VerifierStatus:
        """Returns what this verifier knows and how old that is."""
        picture = None if self._feed is None else self._feed.picture
        return VerifierStatus(
            key_ids=self._keys.kids,
            keys_age=self._monotonic() - self._keys.fetched_at,
            feed_staleness=None if self._feed is None else self._feed.staleness(),
            feed_cursor=None if picture is None else picture.cursor,
            rules=0 if picture is None else len(picture),
            unknown_rules=0 if picture is None else picture.unknown_kinds,
            remembered_tokens=self._judge.remembered,
        )

    async def _verify_with_help(
        self, token: str, when_stale: WhenStale | None, confirmation: Confirmation | None
    ) -> VerifiedToken:
        """Waits for the key, or for the issuer's word about the token, or for both, and judges anew after each."""
        for _ in range(2):
            try:
                if verified := self._judge.judge(token, when_stale, confirmation):
                    return verified
                await self._keys.find(self._reference(token).kid)
                await self._first_sync()  # keys that are there at last do not say yet who is revoked
            except Undecided as question:
                assert self._introspector is not None
                await self._introspector.ask(token, question.fingerprint)
        return self._verify_now(token, when_stale, confirmation)

    async def _first_sync(self) -> None:
        if self._feed is not None:
            await self._feed.first_sync()

    def _verify_now(self, token: str, when_stale: WhenStale | None, confirmation: Confirmation | None) -> VerifiedToken:
        loop, feed = self._loop, self._feed
        if loop is None or loop.is_closed() or self._process != os.getpid():
            raise KeysUnavailable("the verifier does not run in this process")
        if feed is not None and feed.awaits_first_sync:
            raise RevocationsStale
        try:
            verified = self._judge.judge(token, when_stale, confirmation)
        except Undecided:
            raise RevocationsStale from None
        if verified is None:
            missing = self._keys.why_missing(self._reference(token).kid)
            with suppress(RuntimeError):  # the event loop may close at any moment
                loop.call_soon_threadsafe(self._keys.search_soon)
            raise missing
        return verified

    def _reference(self, token: str) -> KeyReference:
        return read_key_reference(split(to_bytes(token))[0], self._keys.algorithms)

    def tell_refused(self, error: VerificationError) -> None:
        """Has the observer count a refusal; whoever judges what comes beside a token says so here."""
        self._telling.tell(lambda observer: observer.refused(str(error.code)))

    def _tell_accepted(self) -> None:
        is_stale = self._feed is not None and self._monotonic() >= self._feed.fresh_until
        self._telling.tell(lambda observer: observer.accepted(stale=is_stale))

    def _abandon(self) -> None:
        """Ends what runs in another event loop. After a fork that is the parent's, and nothing here may touch it."""
        loop = self._loop
        if loop is not None and self._process == os.getpid() and loop.is_running():
            asyncio.run_coroutine_threadsafe(_end((*self._tasks, *self._spawned), self._client), loop)
        self._client, self._tasks, self._spawned = None, (), set()


def _follower(
    credential: Credential | Anonymous | None,
    keys: KeySet,
    max_staleness: float,
    monotonic: Callable[[], float],
    clock: Callable[[], float],
    telling: Telling,
) -> FeedFollower | None:
    return None if credential is None else FeedFollower(credential, keys, max_staleness, monotonic, clock, telling)


def _introspector(
    credential: Credential | Anonymous | None, monotonic: Callable[[], float], telling: Telling
) -> Introspector | None:
    """Only a credential may ask about tokens."""
    return Introspector(credential, monotonic, telling) if isinstance(credential, Credential) else None


async def _end(tasks: tuple[asyncio.Task[None], ...], client: IssuerClient | None) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if client is not None:
        await client.aclose()


def _check_settings(
    issuer: str,
    audience: str,
    algorithms: Collection[str],
    max_staleness: float,
    leeway: float,
    ssl_context: ssl.SSLContext | None,
) -> None:
    check_issuer(issuer)
    check_algorithms(algorithms)
    if not audience:
        raise ValueError("the audience is empty")
    if not 0 < max_staleness < float("inf"):
        raise ValueError("max_staleness is a positive number of seconds")
    if not 0 <= leeway <= LARGEST_LEEWAY:
        raise ValueError(f"leeway is 0 to {LARGEST_LEEWAY} seconds (V07)")
    if ssl_context is not None and not (ssl_context.check_hostname and ssl_context.verify_mode == ssl.CERT_REQUIRED):
        raise ValueError("the TLS context must verify certificate and host name (V19)")
