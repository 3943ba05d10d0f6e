"""What one server process knows of the rules: who is revoked, and up to which number it knows that."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import takewhile
from operator import attrgetter

from identity.feed.rules import CHANGED, Head, NumberedRule, known_digest
from identity.feed.stores import Journal, until_undisturbed
from identity.verifier.profile import RuleKind, rule_digest
from identity.verifier.rule_columns import RuleColumns, split

_ENDED_BY_DIGEST = frozenset({RuleKind.SUBJECT, RuleKind.CLIENT, RuleKind.EVERYTHING})
_ENDS = 0x80


@dataclass(slots=True)
class Picture:
    """All live rules up to `head`, in order. Changed only by its follower, one rule at a time and never with a gap.

    Rules that expire, of which there may be millions, stand in columns; beside each its kind, and whether it ends sessions.
    """

    head: Head
    _rules: RuleColumns = field(default_factory=RuleColumns)
    _kinds: bytearray = field(default_factory=bytearray)
    _kind_names: list[str] = field(default_factory=list)
    _lasting: list[NumberedRule] = field(default_factory=list)
    _ended: dict[bytes, int] = field(default_factory=dict)

    @classmethod
    def of(cls, head: Head, rules: Iterable[NumberedRule]) -> Picture:
        """Builds the picture at `head` from rules in ascending order."""
        picture = cls(head)
        picture.add(rules)
        return picture

    @classmethod
    async def read(cls, journal: Journal) -> Picture:
        """Returns the picture of every rule in the journal that still matters; a chunk at a time, so nobody waits for it. Of
        several servers that start on a restored database one begins another history, while the rest read: they read again."""
        return await until_undisturbed(lambda: cls._read(journal))

    @classmethod
    async def _read(cls, journal: Journal) -> Picture:
        picture = cls(Head("", 0))
        async for head, rules in journal.live():
            picture.head = head
            picture.add(rules)
        return picture

    def add(self, rules: Iterable[NumberedRule]) -> None:
        """Adds rules of a picture that is still being built, in ascending order and none above its head."""
        for rule in rules:
            self._add(rule)

    def apply(self, rule: NumberedRule) -> None:
        """Adds the next rule and moves the head onto it."""
        self._add(rule)
        self.head = Head(self.head.epoch, rule.seq)

    def since(self, seq: int, now: float) -> Iterator[NumberedRule]:
        """Returns what a verifier that has applied everything up to `seq` still needs: live rules only. They are made as they
        are taken, from a copy: the picture may change meanwhile."""
        start = bisect_right(self._rules.numbers, seq)
        columns = (
            self._rules.digests(start),
            self._rules.numbers[start:],
            self._rules.expiries[start:],
            self._kinds[start:],
        )
        lasting = [rule for rule in self._lasting if rule.seq > seq]
        passing = (
            NumberedRule(number, self._kind_names[kind & ~_ENDS], digest, bool(kind & _ENDS), expiry)
            for digest, number, expiry, kind in zip(split(columns[0]), *columns[1:], strict=True)
            if expiry > now
        )
        return merge(lasting, passing, key=attrgetter("seq")) if lasting else passing

    def revokes(self, revision: int, digests: Iterable[bytes]) -> bool:
        """Tells whether a rule newer than `revision` names one of `digests`: what every verifier asks its own picture."""
        named = set(digests)
        return self._rules.revokes(revision, named) or any(
            rule.seq > revision and rule.digest in named for rule in self._lasting
        )

    def has_ended(self, grant_id: str, subject: str, client_id: str, revision: int, session_id: str = "") -> bool:
        """Tells whether a session that began at `revision` is over, as far as this process knows. Of grants and login sessions
        it knows that while access tokens of theirs may live; the stores know it for longer."""
        return (
            self._ended.get(known_digest(RuleKind.SUBJECT, subject), 0) > revision
            or self._ended.get(known_digest(RuleKind.CLIENT, client_id), 0) > revision
            or self._ended.get(known_digest(RuleKind.EVERYTHING), 0) > revision
            or self._ends(rule_digest(RuleKind.GRANT, grant_id))
            or (session_id != "" and self._ends(rule_digest(RuleKind.SESSION, session_id)))
        )

    def _ends(self, digest: bytes) -> bool:
        return any(self._kinds[place] & _ENDS for place in self._rules.places(digest))

    def forget_expired(self, now: float) -> None:
        """Drops rules that can match nothing alive any more. Ended people and clients stay known: sessions live longer.

        Rules expire in the order of their numbers, within a few seconds; one that is early waits for those before it.
        """
        count = sum(1 for _ in takewhile(lambda expiry: expiry <= now, self._rules.expiries))
        if count:
            self._rules, self._kinds = self._rules.without_first(count), self._kinds[count:]

    def _add(self, rule: NumberedRule) -> None:
        if rule.kind == CHANGED:
            return
        if rule.ends and rule.kind in _ENDED_BY_DIGEST:
            self._ended[rule.digest] = rule.seq
        if rule.expires_at is None:
            self._lasting.append(rule)
            return
        if rule.kind not in self._kind_names:
            self._kind_names.append(rule.kind)
        self._rules.add(rule.digest, rule.seq, rule.expires_at)
        self._kinds.append(self._kind_names.index(rule.kind) | (_ENDS if rule.ends else 0))
