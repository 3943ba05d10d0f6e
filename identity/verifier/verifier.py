"""An unverified token in, a `VerifiedToken` or an error out."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from identity.verifier.claims import Expected, read_claims
from identity.verifier.compact import read_key_id, split, to_bytes
from identity.verifier.errors import InvalidToken, KeysUnavailable, Refusal
from identity.verifier.feed import Anonymous, Credential, FeedFollower, WhenStale
from identity.verifier.issuer import IssuerClient, check_issuer
from identity.verifier.jwks import KeyLimits, KeySet
from identity.verifier.profile import JWKS_COOLDOWN, LARGEST_LEEWAY, LEEWAY, REVISION_CLAIM
from identity.verifier.revocations import token_digests
from identity.verifier.token import VerifiedToken

MAX_STALE_KEYS: Final = 24 * 3600.0
"""Seconds the last good keys are used while the issuer cannot be reached."""

_MAX_HEADERS: Final = 64
_PADDING: Final = PKCS1v15()
_HASH: Final = SHA256()


@dataclass(slots=True)
class _Seen:
    """A token that was verified. `checked` is the version of the picture that last said it was not revoked."""

    token: VerifiedToken
    dead_at: float
    revision: int
    digests: tuple[bytes, ...] | None = None
    checked: int = -1


@dataclass(frozen=True, slots=True)
class VerifierStatus:
    """What a health page or a metric may say. Ages in seconds; infinite when it never happened, absent without a feed."""

    key_ids: tuple[str, ...]
    keys_age: float
    feed_staleness: float | None
    feed_cursor: str | None
    rules: int
    unknown_rules: int
    remembered_tokens: int


class Verifier:
    """Verifies access tokens of one issuer for one audience, locally.

    Nothing starts before the first `verify` (or `start`) of each process and event loop, so an instance may be made at import
    time and before a fork; use it from one event loop at a time. `clock` is Unix time, `monotonic` measures ages; both in
    seconds. Without a `credential` revocations are not followed; `ANONYMOUS` follows them where the issuer lets anyone.
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
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check_issuer(issuer)
        _check_settings(audience, when_stale, max_staleness, leeway, ssl_context)
        self.issuer: Final = issuer
        self.audience: Final = audience
        self._expected = Expected(issuer, audience, leeway, revision=credential is not None)
        self._when_stale: WhenStale = when_stale
        self._ssl_context = ssl_context
        self._clock = clock
        self._monotonic = monotonic
        self._keys = KeySet(KeyLimits(cooldown, max_stale_keys), monotonic)
        self._feed = (
            None if credential is None else FeedFollower(credential, self._keys, max_staleness, monotonic, clock)
        )
        self._cache_size = cache_size
        self._seen: dict[bytes, _Seen] = {}
        self._headers: dict[bytes, tuple[str, RSAPublicKey]] = {}
        self._generation = self._keys.generation
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._client: IssuerClient | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._spawned: set[asyncio.Task[None]] = set()

    async def verify(self, token: str, *, when_stale: WhenStale | None = None) -> VerifiedToken:
        """Returns the token if everything about it is in order, or raises a `VerificationError`.

        Suspends only at the very first use and for a key not seen before. `when_stale` overrides the policy for this call.
        """
        if self._loop is not asyncio.get_running_loop() or self._process != os.getpid():
            read_key_id(split(to_bytes(token))[0])  # garbage starts nothing (V17)
            self.start()
        if self._feed is not None and self._feed.awaits_first_sync:
            await self._feed.first_sync()
        verified = self._verify_known(token, when_stale)
        if verified is None:
            await self._keys.find(read_key_id(split(to_bytes(token))[0]))
            verified = self._verify_known(token, when_stale)
        if verified is None:
            raise KeysUnavailable("the key was withdrawn while it was looked up")
        return verified

    def start(self) -> None:
        """Starts fetching keys and following the feed in the running event loop; `verify` does it when nobody did."""
        self._abandon()
        self._loop, self._process = asyncio.get_running_loop(), os.getpid()
        self._client = IssuerClient(self.issuer, self._ssl_context)
        self._keys.attach(self._client)
        tasks = [self._loop.create_task(self._keys.keep_fresh())]
        if self._feed is not None:
            self._feed.attach()
            tasks.append(self._loop.create_task(self._feed.follow(self._client)))
        self._tasks = tuple(tasks)

    async def aclose(self) -> None:
        """Ends what runs in the background. The verifier may be used again afterwards."""
        if self._loop is not asyncio.get_running_loop() or self._process != os.getpid():
            return
        tasks, client = (*self._tasks, *self._spawned, *self._keys.under_way()), self._client
        self._loop, self._client, self._tasks = None, None, ()
        await _end(tasks, client)

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
            remembered_tokens=len(self._seen),
        )

    def _verify_known(self, token: str, when_stale: WhenStale | None = None) -> VerifiedToken | None:
        """Verifies without waiting. Returns nothing when the key is not at hand: then, and only then, someone has to wait."""
        raw = to_bytes(token)
        keys = self._keys
        if keys.generation != self._generation:
            self._forget()
        now = self._monotonic()
        if now >= keys.usable_until:
            return None
        fingerprint = sha256(raw).digest()
        seen = self._seen.get(fingerprint)
        if seen is None:
            seen = self._verify_new(raw)
            if seen is None:
                return None
            self._remember(fingerprint, seen)
        elif self._clock() >= seen.dead_at:
            raise InvalidToken(Refusal.EXPIRED)
        feed = self._feed
        if feed is not None:
            if seen.checked != feed.picture.version:
                self._check_revoked(feed, seen)
            if now >= feed.fresh_until:
                feed.pass_stale(when_stale or self._when_stale)
        return seen.token

    def _verify_new(self, raw: bytes) -> _Seen | None:
        """Verifies a token not seen before: form, header, signature, and only then its claims."""
        header_segment, payload, signature, signing_input = split(raw)
        known = self._headers.get(header_segment)
        if known is None:
            kid = read_key_id(header_segment)
            key = self._keys.get(kid)
            if key is None:
                return None
        else:
            kid, key = known
        try:
            key.verify(signature, signing_input, _PADDING, _HASH)
        except InvalidSignature:
            raise InvalidToken(Refusal.BAD_SIGNATURE) from None
        if known is None:
            self._know_header(header_segment, kid, key)
        token = read_claims(payload, kid, self._expected, self._clock())
        revision = token.claims[REVISION_CLAIM] if self._expected.revision else 0
        assert isinstance(revision, int)
        return _Seen(token, token.expires_at + self._expected.leeway, revision)

    def _check_revoked(self, feed: FeedFollower, seen: _Seen) -> None:
        """Raises `InvalidToken` if a rule means this token. A token newer than every rule needs no look at any of them."""
        picture = feed.picture
        if seen.revision < picture.head:
            if seen.digests is None:
                seen.digests = token_digests(seen.token, self.audience)
            if picture.revokes(seen.revision, seen.digests):
                raise InvalidToken(Refusal.REVOKED)
        seen.checked = picture.version

    def _know_header(self, header_segment: bytes, kid: str, key: RSAPublicKey) -> None:
        """Lets this exact header stand for its key. Only called when a signature proved that the issuer wrote it."""
        if len(self._headers) >= _MAX_HEADERS:
            self._headers.clear()
        self._headers[header_segment] = (kid, key)

    def _remember(self, fingerprint: bytes, seen: _Seen) -> None:
        """Remembers a verified token under the hash of its full text: another spelling is another token."""
        if self._cache_size <= 0:
            return
        if len(self._seen) >= self._cache_size:
            del self._seen[next(iter(self._seen))]
        self._seen[fingerprint] = seen

    def _forget(self) -> None:
        """Forgets everything learnt from keys that may be gone."""
        self._seen.clear()
        self._headers.clear()
        self._generation = self._keys.generation

    def _abandon(self) -> None:
        """Ends what runs in another event loop. After a fork that is the parent's, and nothing here may touch it."""
        loop = self._loop
        if loop is not None and self._process == os.getpid() and loop.is_running():
            asyncio.run_coroutine_threadsafe(_end((*self._tasks, *self._spawned), self._client), loop)
        self._client, self._tasks, self._spawned = None, (), set()


async def _end(tasks: tuple[asyncio.Task[None], ...], client: IssuerClient | None) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if client is not None:
        await client.aclose()


def _check_settings(
    audience: str, when_stale: str, max_staleness: float, leeway: float, ssl_context: ssl.SSLContext | None
) -> None:
    if not audience:
        raise ValueError("the audience is empty")
    if when_stale not in ("accept", "reject"):
        raise ValueError("when_stale is 'accept' or 'reject'")
    if not 0 < max_staleness < float("inf"):
        raise ValueError("max_staleness is a positive number of seconds")
    if not 0 <= leeway <= LARGEST_LEEWAY:
        raise ValueError(f"leeway is 0 to {LARGEST_LEEWAY} seconds (V07)")
    if ssl_context is not None and not (ssl_context.check_hostname and ssl_context.verify_mode == ssl.CERT_REQUIRED):
        raise ValueError("the TLS context must verify certificate and host name (V19)")
