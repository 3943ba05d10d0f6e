"""What the revocation feed answers: the document, parsed strictly, its rules in rows or in columns."""

from __future__ import annotations

import json
from array import array
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from operator import attrgetter
from typing import NamedTuple, TypeVar

from identity.verifier.profile import DIGEST_BYTES

T = TypeVar("T")


class FeedRule(NamedTuple):
    """One rule of an answer. `expires_at` in Unix seconds; absent: never."""

    seq: int
    kind: str
    digest: bytes
    expires_at: int | None


class RuleBlock(NamedTuple):
    """Rules of one kind, in columns: ascending numbers, and digests joined. `expires_at` is when the last of them expires."""

    kind: str
    expires_at: int | None
    numbers: array[int]
    digests: bytes


@dataclass(frozen=True, slots=True)
class FeedAnswer:
    """One answer of the feed. `as_of_age`: seconds since the answering server last confirmed that nothing is missing."""

    epoch: str
    seq: int
    snapshot: bool
    as_of_age: float
    jwks_version: str
    rules: tuple[FeedRule, ...]
    columns: tuple[RuleBlock, ...] = ()

    def blocks(self) -> Iterator[RuleBlock]:
        """All rules, in whatever form they came."""
        for (kind, expires_at), alike in groupby(self.rules, key=attrgetter("kind", "expires_at")):
            rows = list(alike)
            numbers, digests = array("Q", [row.seq for row in rows]), b"".join(row.digest for row in rows)
            yield RuleBlock(kind, expires_at, numbers, digests)
        yield from self.columns

    @property
    def first(self) -> int | None:
        """The lowest number of a rule; absent when there is none."""
        numbers = [rule.seq for rule in self.rules[:1]] + [block.numbers[0] for block in self.columns]
        return min(numbers, default=None)

    @property
    def last(self) -> int:
        """The highest number of a rule; 0 when there is none."""
        numbers = [rule.seq for rule in self.rules[-1:]] + [block.numbers[-1] for block in self.columns]
        return max(numbers, default=0)

    def __len__(self) -> int:
        return len(self.rules) + sum(len(block.numbers) for block in self.columns)


class FeedOutOfStep(ValueError):
    """An answer is malformed or does not continue the picture: only a snapshot helps."""


def read_answer(body: bytes) -> FeedAnswer:
    """Returns a feed answer whose rules ascend, or raises `FeedOutOfStep`.

    A block is packed as soon as it was read. So a million rules never exist as three million objects, and other threads have
    their turn after each block: the parser alone would hold the interpreter until its end.
    """
    try:
        document = json.loads(body, object_hook=_packed)
        if ("rules" in document) == ("columns" in document):
            raise ValueError("rules in both forms, or in none")
        answer = FeedAnswer(
            epoch=_typed(document["epoch"], str),
            seq=_whole(document["seq"]),
            snapshot=_typed(document["snapshot"], bool),
            as_of_age=_age(document["as_of_age"]),
            jwks_version=_typed(document["jwks_version"], str),
            rules=tuple(_rule(*rule) for rule in _typed(document.get("rules", []), list)),
            columns=tuple(_typed(block, RuleBlock) for block in _typed(document.get("columns", []), list)),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise FeedOutOfStep(f"malformed answer ({type(error).__name__})") from error
    if any(later.seq <= earlier.seq for earlier, later in pairwise(answer.rules)):
        raise FeedOutOfStep("rules out of order")
    if answer.last > answer.seq:
        raise FeedOutOfStep("a rule is ahead of its answer")
    return answer


def _packed(members: dict[str, object]) -> dict[str, object] | RuleBlock:
    """Makes a block of an object that is one; the document itself stays what it is."""
    if "seqs" not in members:
        return members
    kind, expires_at = _typed(members["kind"], str), members["expires_at"]
    steps, encoded = _typed(members["seqs"], list), _typed(members["digests"], str)
    if set(map(type, steps)) != {int} or steps[0] < 0 or min(steps[1:], default=1) < 1:
        raise ValueError("numbers that do not ascend, or none")
    digests = b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    if len(digests) != DIGEST_BYTES * len(steps):
        raise ValueError("columns of different length")
    return RuleBlock(kind, None if expires_at is None else _whole(expires_at), array("Q", accumulate(steps)), digests)


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
    if value.__class__ is not int or not 0 <= value < 2**63:
        raise TypeError("not a whole number")
    return value


def _age(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise TypeError("not an age")
    return float(value)
