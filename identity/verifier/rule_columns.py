"""A million rules in some 50 bytes each: not an object for every rule, but a column for everything that is known of all.

The list is in the order in which rules came. Beside it stands an index by digest, a hash table in two columns: `heads` has for
each slot the place of the newest rule there, `links` has for each rule the place of the one before it in its slot. Places
count from one and go on when the oldest rules are dropped, so a place that is gone is where a chain ends, and nothing has to
be taken out of the index.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from identity.verifier.profile import DIGEST_BYTES

NEVER: Final = 2**32 - 1
"""When a rule expires that does not: four bytes end in 2106, and a digest of today means nothing then."""

_FEWEST_SLOTS: Final = 256
_LAST_PLACE: Final = 2**31
_LOOKED_AT: Final = 1024


class RuleColumns:
    """Rules by digest: their numbers, and when they expire (Unix seconds, `NEVER` at most).

    One thread adds. Others may ask meanwhile: a rule is written whole before the index shows it, and whatever is more than an
    addition gives a new object.
    """

    __slots__ = ("_digests", "_gone", "_heads", "_links", "expiries", "numbers")

    def __init__(self, expected: int = 0) -> None:
        slots = max(_FEWEST_SLOTS, 1 << (4 * expected - 1).bit_length() if expected else 0)
        self._heads = array("I", (0,)) * slots
        self._links = array("I")
        self._gone = 0
        self._digests = bytearray()
        self.numbers = array("Q")
        self.expiries = array("I")

    @classmethod
    def of(cls, digests: bytes, numbers: Sequence[int], expiries: Iterable[int]) -> RuleColumns:
        """Returns a list of these rules, with as many slots as they need."""
        rules, end = cls(len(numbers)), 0
        for expiry, some in groupby(expiries):
            start, end = end, end + sum(1 for _ in some)
            rules.extend(digests[start * DIGEST_BYTES : end * DIGEST_BYTES], numbers[start:end], expiry)
        return rules

    def __len__(self) -> int:
        return len(self._links)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RuleColumns) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[tuple[bytes, int, int]]:
        """Every rule in order, as digest, number and expiry."""
        return zip(split(self.digests(0)), self.numbers, self.expiries, strict=False)

    def extend(self, digests: bytes, numbers: Iterable[int], expiry: int) -> None:
        """Adds rules that expire together; `digests` are joined."""
        self._make_room(len(digests) // DIGEST_BYTES)
        before = len(self)
        self._digests += digests
        self.numbers.extend(numbers)
        self.expiries.extend([min(expiry, NEVER)] * (len(self.numbers) - before))
        heads, links, place = self._heads, self._links, self._gone + before
        mask = len(heads) - 1
        for digest in split(digests):
            slot = hash(digest) & mask
            place += 1
            links.append(heads[slot])
            heads[slot] = place

    def add(self, digest: bytes, number: int, expiry: int) -> None:
        """Adds a rule."""
        self._make_room(1)
        self._digests += digest
        self.numbers.append(number)
        self.expiries.append(min(expiry, NEVER))
        slot = hash(digest) & (len(self._heads) - 1)
        self._links.append(self._heads[slot])
        self._heads[slot] = self._gone + len(self._links)

    def _make_room(self, count: int) -> None:
        """Sees to it that there are four times as many slots as rules: a name that nobody revoked then meets nobody, as a rule.

        Of twice the slots each pair begins with what stood in one: old chains are longer than they need be until their rules
        expire, but nobody has to wait until a million rules have found new places.
        """
        while 4 * (len(self._links) + count) > len(self._heads):
            self._heads = self._heads + self._heads

    def revokes(self, revision: int, digests: Iterable[bytes]) -> bool:
        """Tells whether a rule with a number above `revision` names one of `digests`."""
        heads, gone, numbers, known = self._heads, self._gone, self.numbers, self._digests
        mask = len(heads) - 1
        for digest in digests:
            place = heads[hash(digest) & mask]
            while place > gone:
                index = place - gone - 1
                start = index * DIGEST_BYTES
                # One byte tells most strangers apart, in half the time of a comparison.
                if known[start] == digest[0] and numbers[index] > revision and known.startswith(digest, start):
                    return True
                place = self._links[index]
        return False

    def places(self, digest: bytes) -> Iterator[int]:
        """Where rules with this digest stand, the newest first."""
        place = self._heads[hash(digest) & (len(self._heads) - 1)]
        while place > self._gone:
            index = place - self._gone - 1
            if self._digests.startswith(digest, index * DIGEST_BYTES):
                yield index
            place = self._links[index]

    def digests(self, start: int, end: int | None = None) -> bytes:
        """Returns the digests from one place to another, joined."""
        return bytes(memoryview(self._digests)[start * DIGEST_BYTES : None if end is None else end * DIGEST_BYTES])

    def living(self, moment: float) -> RuleColumns:
        """Returns the rules without those that expired before `moment`, or itself when that would drop nothing.

        Only the oldest are looked at, up to where most still live: rules expire in about the order in which they came. One
        that outlives its neighbours goes to the end, so that it holds back nobody.
        """
        end = 0
        while end < len(self):
            some = self.expiries[end : end + _LOOKED_AT]
            expired = sum(expiry < moment for expiry in some)
            if not expired or (end and 2 * expired < len(some)):
                break
            end += len(some)
        if not end:
            return self
        rest = self.without_first(end)
        oldest = zip(split(self.digests(0, end)), self.numbers, self.expiries, strict=False)
        for digest, number, expiry in oldest:
            if expiry >= moment:
                rest.add(digest, number, expiry)
        return rest

    def without_first(self, count: int) -> RuleColumns:
        """Returns the same rules without the oldest `count`, which takes some milliseconds for a million: nothing is moved
        but whole columns. With 0 it is a copy."""
        if self._gone > _LAST_PLACE or 256 * (len(self) - count) < len(self._heads):
            return self._anew(count)
        rest = RuleColumns()
        rest._heads, rest._gone = self._heads[:], self._gone + count
        rest._links, rest.numbers, rest.expiries = self._links[count:], self.numbers[count:], self.expiries[count:]
        rest._digests = self._digests[count * DIGEST_BYTES :]
        return rest

    def _anew(self, count: int) -> RuleColumns:
        """Adds all but the oldest `count` to an empty list: places are about to run out, or most slots stand empty."""
        return RuleColumns.of(self.digests(count), self.numbers[count:], self.expiries[count:])


def split(digests: bytes) -> Iterator[bytes]:
    """Returns one by one what is joined."""
    return (digests[start : start + DIGEST_BYTES] for start in range(0, len(digests), DIGEST_BYTES))
