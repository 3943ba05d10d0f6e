"""What one server process knows of the rules: who is revoked, and up to which number it knows that."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from identity.feed.rules import CHANGED, Head, NumberedRule, known_digest
from identity.verifier.profile import RuleKind, rule_digest

_ENDED_BY_DIGEST = frozenset({RuleKind.SUBJECT, RuleKind.CLIENT, RuleKind.EVERYTHING})


@dataclass(slots=True)
class Picture:
    """All live rules up to `head`, in order. Changed only by its follower, one rule at a time and never with a gap."""

    head: Head
    _rules: list[NumberedRule] = field(default_factory=list)
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _ended: dict[bytes, int] = field(default_factory=dict)
    _ended_grants: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, head: Head, rules: Iterable[NumberedRule]) -> Picture:
        """Builds the picture at `head` from rules in ascending order."""
        picture = cls(head)
        for rule in rules:
            picture._add(rule)
        return picture

    def apply(self, rule: NumberedRule) -> None:
        """Adds the next rule and moves the head onto it."""
        self._add(rule)
        self.head = Head(self.head.epoch, rule.seq)

    def since(self, seq: int, now: float) -> list[NumberedRule]:
        """Returns what a verifier that has applied everything up to `seq` still needs: live rules only."""
        start = bisect_right(self._rules, seq, key=lambda rule: rule.seq)
        return [rule for rule in self._rules[start:] if rule.expires_at is None or rule.expires_at > now]

    def revokes(self, revision: int, digests: Iterable[bytes]) -> bool:
        """Tells whether a rule newer than `revision` names one of `digests`: what every verifier asks its own picture."""
        return any(self._numbers.get(digest, -1) > revision for digest in digests)

    def has_ended(self, grant_id: str, subject: str, client_id: str, revision: int) -> bool:
        """Tells whether a session that began at `revision` is over, as far as this process knows."""
        return (
            self._ended.get(known_digest(RuleKind.SUBJECT, subject), 0) > revision
            or self._ended.get(known_digest(RuleKind.CLIENT, client_id), 0) > revision
            or self._ended.get(known_digest(RuleKind.EVERYTHING), 0) > revision
            or rule_digest(RuleKind.GRANT, grant_id) in self._ended_grants
        )

    def forget_expired(self, now: float) -> None:
        """Drops rules that can match nothing alive any more. Ended people and clients stay known: sessions live longer."""
        if any(rule.expires_at is not None and rule.expires_at <= now for rule in self._rules):
            self._rules = [rule for rule in self._rules if rule.expires_at is None or rule.expires_at > now]
            self._numbers = {rule.digest: rule.seq for rule in self._rules}
            self._ended_grants &= {rule.digest for rule in self._rules if rule.ends}

    def _add(self, rule: NumberedRule) -> None:
        if rule.kind == CHANGED:
            return
        self._rules.append(rule)
        self._numbers[rule.digest] = rule.seq
        if rule.ends and rule.kind == RuleKind.GRANT:
            self._ended_grants.add(rule.digest)
        elif rule.ends and rule.kind in _ENDED_BY_DIGEST:
            self._ended[rule.digest] = rule.seq
