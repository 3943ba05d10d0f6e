"""What is revoked, as far as this process knows: a picture of the issuer's feed, and the question tokens are put to it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

from identity.verifier.profile import DIGEST_BYTES, LEEWAY, RuleKind, rule_digest
from identity.verifier.token import VerifiedToken

_BUCKET_SECONDS: Final = 60
_KINDS: Final = frozenset(RuleKind)

T = TypeVar("T")

shared_digest = lru_cache(maxsize=4096)(rule_digest)
"""For what many tokens have in common: clients, and scopes of an audience."""


class FeedRule(NamedTuple):
    """One rule of an answer. `expires_at` in Unix seconds; absent: never."""

    seq: int
    kind: str
    digest: bytes
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class FeedAnswer:
    """One answer of the feed. `as_of_age`: seconds since the answering server last confirmed that nothing is missing."""

    epoch: str
    seq: int
    snapshot: bool
    as_of_age: float
    jwks_version: str
    rules: tuple[FeedRule, ...]


@dataclass(frozen=True, slots=True)
class PictureState:
    """All a picture knows, by digest: the number of its rule and when that expires (Unix seconds, infinite for never)."""

    epoch: str
    seq: int
    numbers: dict[bytes, int]
    expiry: dict[bytes, float]


class FeedOutOfStep(ValueError):
    """An answer is malformed or does not continue the picture: only a snapshot helps."""


def read_answer(body: bytes) -> FeedAnswer:
    """Returns a feed answer whose rules ascend, or raises `FeedOutOfStep`."""
    try:
        document = json.loads(body)
        answer = FeedAnswer(
            epoch=_typed(document["epoch"], str),
            seq=_whole(document["seq"]),
            snapshot=_typed(document["snapshot"], bool),
            as_of_age=_age(document["as_of_age"]),
            jwks_version=_typed(document["jwks_version"], str),
            rules=tuple(_rule(*rule) for rule in _typed(document["rules"], list)),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FeedOutOfStep(f"malformed answer ({type(error).__name__})") from error
    numbers = [rule.seq for rule in answer.rules]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise FeedOutOfStep("rules out of order")
    if numbers and numbers[-1] > answer.seq:
        raise FeedOutOfStep("a rule is ahead of its answer")
    return answer


def token_digests(token: VerifiedToken, audience: str) -> tuple[bytes, ...]:
    """Returns the names under which a rule may mean this token, for a service that is `audience` (V12: never its spelling)."""
    digests = [
        rule_digest(RuleKind.TOKEN, token.token_id),
        rule_digest(RuleKind.SUBJECT, token.subject),
        shared_digest(RuleKind.CLIENT, token.client_id),
        shared_digest(RuleKind.EVERYTHING),
    ]
    if token.grant_id is not None:
        digests.append(rule_digest(RuleKind.GRANT, token.grant_id))
    if token.session_id is not None:
        digests.append(rule_digest(RuleKind.SESSION, token.session_id))
    digests.extend(shared_digest(RuleKind.AUDIENCE_SCOPE, audience, scope) for scope in token.scopes)
    return tuple(digests)


class Picture:
    """The live rules by digest. `version` changes after every change; `head` is the highest number any rule ever had.

    A digest names its kind too, so rules of a kind this version does not know can stay: nothing will ever ask for them.
    """

    def __init__(self, withdraw: Callable[[bytes], None]) -> None:
        self._withdraw = withdraw
        self._numbers: dict[bytes, int] = {}
        self._expiry: dict[bytes, float] = {}
        self._buckets: defaultdict[int, list[bytes]] = defaultdict(list)
        self._oldest_bucket = 0
        self.epoch: str | None = None
        self.seq = 0
        self.head = 0
        self.version = 0
        self.unknown_kinds = 0

    @classmethod
    def of(cls, rules: tuple[FeedRule, ...]) -> tuple[Picture, list[bytes]]:
        """Returns a picture of nothing but `rules`, and the keys they withdraw. Any thread may make it: nothing is shared."""
        withdrawn: list[bytes] = []
        fresh = cls(withdrawn.append)
        fresh._add(rules)
        return fresh, withdrawn

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def cursor(self) -> str | None:
        """What to ask the feed from; absent when only a snapshot will do."""
        epoch = self.epoch
        return None if epoch is None else f"{epoch}.{self.seq}"

    def forget_cursor(self) -> None:
        """Has the next answer be a snapshot. What is known to be revoked stays so until then."""
        self.epoch = None

    def apply(self, answer: FeedAnswer, now: float, made: tuple[Picture, list[bytes]] | None = None) -> None:
        """Takes an answer over, or raises `FeedOutOfStep` and changes nothing. `now` is wall-clock time, for expiry; `made` is
        what `of` made of the rules of a snapshot, if somebody did already.

        Numbers may be missing between rules (expired ones are not sent, some concern servers only), but an answer to a
        cursor can only hold rules above it.
        """
        if not answer.snapshot and (answer.epoch != self.epoch or answer.seq < self.seq):
            raise FeedOutOfStep("the answer does not continue the picture")
        if not answer.snapshot and answer.rules and answer.rules[0].seq <= self.seq:
            raise FeedOutOfStep("a rule was sent twice")
        if answer.snapshot:
            fresh, withdrawn = made or Picture.of(answer.rules)
            for digest in withdrawn:
                self._withdraw(digest)
            self._become(fresh)
        else:
            self._add(answer.rules)
        self.epoch, self.seq = answer.epoch, answer.seq
        self._forget_expired(now)

    def state(self) -> PictureState | None:
        """Returns a copy of all that is known; nothing when it does not stand at a cursor."""
        if self.epoch is None:
            return None
        return PictureState(self.epoch, self.seq, dict(self._numbers), dict(self._expiry))

    def resume(self, state: PictureState, now: float) -> None:
        """Goes on from where an earlier process was. `now` is wall-clock time, for expiry."""
        fresh = Picture(self._withdraw)
        for digest, number in state.numbers.items():
            fresh._note(digest, number, state.expiry.get(digest, 0.0))
        self._become(fresh)
        self.epoch, self.seq = state.epoch, state.seq
        self._forget_expired(now)

    def revokes(self, revision: int, digests: Iterable[bytes]) -> bool:
        """Tells whether a rule newer than `revision` names one of `digests`."""
        numbers = self._numbers
        return any(numbers.get(digest, 0) > revision for digest in digests)

    def _become(self, fresh: Picture) -> None:
        """Replaces everything in one step: another thread must never meet a picture that is half told."""
        self._numbers, self._expiry, self._buckets = fresh._numbers, fresh._expiry, fresh._buckets
        self.head = fresh.head
        self.unknown_kinds += fresh.unknown_kinds
        self.version += 1

    def _add(self, rules: tuple[FeedRule, ...]) -> None:
        for rule in rules:
            if rule.kind == RuleKind.KEY:
                self._withdraw(rule.digest)
                continue
            self.unknown_kinds += rule.kind not in _KINDS
            self._note(rule.digest, rule.seq, float("inf") if rule.expires_at is None else rule.expires_at)
        self.version += bool(rules)

    def _note(self, digest: bytes, number: int, expiry: float) -> None:
        self._numbers[digest] = number
        if expiry > self._expiry.get(digest, 0):
            self._expiry[digest] = expiry
            if expiry != float("inf"):
                self._buckets[int(expiry) // _BUCKET_SECONDS].append(digest)
        self.head = max(self.head, number)

    def _forget_expired(self, now: float) -> None:
        """Drops rules whose last token has died here too: our clock may be ahead of the issuer's."""
        dead_until = now - 2 * LEEWAY
        bucket = int(dead_until) // _BUCKET_SECONDS
        if bucket <= self._oldest_bucket:
            return
        self._oldest_bucket = bucket
        for number in [number for number in self._buckets if number < bucket]:
            for digest in self._buckets.pop(number):
                if self._expiry.get(digest, dead_until) < dead_until:
                    del self._expiry[digest], self._numbers[digest]


def _rule(seq: object, kind: object, digest: object, expires_at: object, *_: object) -> FeedRule:
    encoded = _typed(digest, str)
    raw = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    if len(raw) != DIGEST_BYTES:
        raise ValueError("digest has another length")
    return FeedRule(_whole(seq), _typed(kind, str), raw, None if expires_at is None else _whole(expires_at))


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"not a {kind.__name__}")
    return value


def _whole(value: object) -> int:
    if value.__class__ is not int or value < 0:
        raise TypeError("not a whole number")
    return value


def _age(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise TypeError("not an age")
    return float(value)
