"""Judging a token with what is at hand: nothing here waits, and any thread may ask."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Final

from cryptography.exceptions import InvalidSignature

from identity.verifier.claims import Expected, read_claims
from identity.verifier.clocks import Clocks
from identity.verifier.compact import read_key_reference, split, to_bytes
from identity.verifier.errors import InvalidToken, Refusal, RevocationsStale
from identity.verifier.feed import FeedFollower, WhenStale
from identity.verifier.introspection import Introspector
from identity.verifier.jwks import KeySet
from identity.verifier.profile import REVISION_CLAIM, Confirmation
from identity.verifier.revocations import Picture, token_digests
from identity.verifier.signatures import PublicKey
from identity.verifier.token import VerifiedToken

_MAX_HEADERS: Final = 64


class Undecided(Exception):
    """The token is good but for what only the issuer can say; `fingerprint` is what to ask about it under."""

    def __init__(self, fingerprint: bytes) -> None:
        super().__init__()
        self.fingerprint = fingerprint


@dataclass(slots=True)
class Seen:
    """A token that was verified. `checked` is the version of the picture that last said it was not revoked; `digests` are its
    names, of those kinds of which that picture may have a rule."""

    token: VerifiedToken
    dead_at: float
    revision: int
    digests: tuple[frozenset[str], tuple[bytes, ...]] | None = None
    checked: int = -1


class Memory:
    """What was learnt with one generation of the keys. It is dropped whole when they change: what a thread still learns from
    a key that is gone meanwhile ends up in a memory nobody asks any more."""

    __slots__ = ("_capacity", "_lock", "generation", "headers", "seen")

    def __init__(self, generation: int, capacity: int) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self.generation = generation
        self.headers: dict[bytes, tuple[str, PublicKey]] = {}
        self.seen: dict[bytes, Seen] = {}

    def know_header(self, header_segment: bytes, kid: str, key: PublicKey) -> None:
        """Lets this exact header stand for its key. Only called when a signature proved that the issuer wrote it."""
        with self._lock:
            if len(self.headers) >= _MAX_HEADERS:
                self.headers.clear()
            self.headers[header_segment] = (kid, key)

    def remember(self, fingerprint: bytes, seen: Seen) -> None:
        """Remembers a verified token under the hash of its full text: another spelling is another token."""
        if self._capacity <= 0:
            return
        with self._lock:
            if len(self.seen) >= self._capacity:
                del self.seen[next(iter(self.seen))]
            self.seen[fingerprint] = seen


class Judge:
    """Verifies with the keys and the picture as they are now.

    Whatever is shared between threads is either replaced whole or changed in an order that a reader cannot misread: who
    reads the generation of the keys, or the version of the picture, *before* what it stands for can only look once too often.
    """

    def __init__(
        self,
        expected: Expected,
        keys: KeySet,
        feed: FeedFollower | None,
        introspector: Introspector | None,
        when_stale: WhenStale,
        cache_size: int,
        clocks: Clocks,
    ) -> None:
        self._expected = expected
        self._keys = keys
        self._feed = feed
        self._introspector = introspector
        self._when_stale: WhenStale = when_stale
        self._cache_size = cache_size
        self._clock, self._monotonic = clocks
        self._memory = Memory(keys.generation, cache_size)

    @property
    def remembered(self) -> int:
        """How many tokens are remembered."""
        return len(self._memory.seen)

    def start_over(self) -> None:
        """Forgets everything, locks included: after a fork a thread of the parent's may seem to hold one for ever."""
        self._memory = Memory(self._keys.generation, self._cache_size)

    def judge(
        self, token: str, when_stale: WhenStale | None = None, confirmation: Confirmation | None = None
    ) -> VerifiedToken | None:
        """Returns the token if everything about it is in order, or raises `InvalidToken`. `confirmation` is what its sender
        proved to hold: exactly that is what the token must be bound to, and with None to nothing.

        Returns nothing when the key is not at hand, and raises `Undecided` when the issuer has to be asked about the token:
        then, and only then, someone has to wait.
        """
        raw = to_bytes(token)
        keys, memory = self._keys, self._memory
        if keys.generation != memory.generation:
            memory = self._memory = Memory(keys.generation, self._cache_size)
        now = self._monotonic()
        if now >= keys.usable_until:
            return None
        fingerprint = sha256(raw).digest()
        seen = memory.seen.get(fingerprint)
        if seen is None:
            seen = self._verify_new(raw, memory)
            if seen is None:
                return None
            memory.remember(fingerprint, seen)
        elif self._clock() >= seen.dead_at:
            raise InvalidToken(Refusal.EXPIRED)
        if seen.token.confirmation != confirmation:
            # Whoever stole a bound token would otherwise simply send it as a bearer token (V13, RFC 9449 section 7.2).
            raise InvalidToken(Refusal.WRONG_SENDER if confirmation else Refusal.SENDER_CONSTRAINED)
        feed = self._feed
        if feed is not None:
            if seen.checked != feed.picture.version:
                check_revoked(feed.picture, seen, self._expected.audience)
            if now >= feed.fresh_until:
                self._pass_stale(feed, fingerprint, when_stale or self._when_stale)
        return seen.token

    def _verify_new(self, raw: bytes, memory: Memory) -> Seen | None:
        """Verifies a token not seen before: form, header, signature, and only then its claims."""
        header_segment, payload, signature, signing_input = split(raw)
        known = memory.headers.get(header_segment)
        if known is None:
            kid, algorithm = read_key_reference(header_segment, self._keys.algorithms)
            key = self._keys.get(kid)
            if key is None:
                return None
            if key.algorithm != algorithm:  # Whoever writes a token does not choose how its key is used (V01).
                raise InvalidToken(Refusal.WRONG_ALGORITHM)
        else:
            kid, key = known
        try:
            key.verify(signature, signing_input)
        except InvalidSignature:
            raise InvalidToken(Refusal.BAD_SIGNATURE) from None
        if known is None:
            memory.know_header(header_segment, kid, key)
        token = read_claims(payload, kid, self._expected, self._clock())
        revision = token.claims[REVISION_CLAIM] if self._expected.revision else 0
        assert isinstance(revision, int)
        return Seen(token, token.expires_at + self._expected.leeway, revision)

    def _pass_stale(self, feed: FeedFollower, fingerprint: bytes, policy: WhenStale) -> None:
        """Returns when the policy lets the token pass, or raises; one that nobody knows is the strictest."""
        feed.note_stale(policy)
        if policy == "accept":
            return
        if policy != "introspect" or self._introspector is None:
            raise RevocationsStale
        if not self._introspector.allows(fingerprint):
            raise Undecided(fingerprint)


def check_revoked(picture: Picture, seen: Seen, audience: str) -> None:
    """Raises `InvalidToken` if a rule means this token. A token newer than every rule needs no look at any of them."""
    version = picture.version  # before the look: a rule that comes meanwhile has the token looked at once more
    if seen.revision < picture.head:
        kinds, known = picture.kinds, seen.digests
        if known is None or known[0] is not kinds:
            known = seen.digests = kinds, token_digests(seen.token, audience, kinds)
        if picture.rules.revokes(seen.revision, known[1]):
            raise InvalidToken(Refusal.REVOKED)
    seen.checked = version
