"""What is revoked, as far as this process knows: a picture of the issuer's feed, and the question tokens are put to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from identity.verifier.feed_answers import FeedAnswer, FeedOutOfStep
from identity.verifier.profile import LEEWAY, RuleKind, digest_after, rule_digest
from identity.verifier.rule_columns import NEVER, RuleColumns, split
from identity.verifier.token import VerifiedToken

LARGE_PICTURE: Final = 50_000
"""Rules. Looking through more than these for expired ones takes longer than a request may wait: the follower does it apart."""

_TIDY_SECONDS: Final = 60

_TOKEN, _GRANT, _SESSION, _SUBJECT = RuleKind.TOKEN, RuleKind.GRANT, RuleKind.SESSION, RuleKind.SUBJECT
_CLIENT, _AUDIENCE_SCOPE, _EVERYTHING = RuleKind.CLIENT, RuleKind.AUDIENCE_SCOPE, RuleKind.EVERYTHING
_A_TOKEN, _A_GRANT, _A_SESSION, _A_SUBJECT = (f"{kind}\0".encode() for kind in (_TOKEN, _GRANT, _SESSION, _SUBJECT))

ALL_KINDS: Final = frozenset[str](RuleKind)

shared_digest = lru_cache(maxsize=4096)(rule_digest)
"""For what many tokens have in common: clients, and scopes of an audience."""


@dataclass(frozen=True, slots=True)
class PictureState:
    """All a picture knows, and the cursor at which it knows that."""

    epoch: str
    seq: int
    rules: RuleColumns


def token_digests(token: VerifiedToken, audience: str, kinds: frozenset[str] = ALL_KINDS) -> tuple[bytes, ...]:
    """Returns the names under which a rule of one of `kinds` may mean this token, for a service that is `audience` (V12: never
    its spelling). Hashing a name takes longer than looking for it, so those of no use are left out."""
    digests = []
    if _GRANT in kinds and token.grant_id is not None:
        digests.append(digest_after(_A_GRANT, token.grant_id))
    if _TOKEN in kinds:
        digests.append(digest_after(_A_TOKEN, token.token_id))
    if _SUBJECT in kinds:
        digests.append(digest_after(_A_SUBJECT, token.subject))
    if _SESSION in kinds and token.session_id is not None:
        digests.append(digest_after(_A_SESSION, token.session_id))
    if _CLIENT in kinds:
        digests.append(shared_digest(_CLIENT, token.client_id))
    if _EVERYTHING in kinds:
        digests.append(shared_digest(_EVERYTHING))
    if _AUDIENCE_SCOPE in kinds:
        digests.extend(shared_digest(_AUDIENCE_SCOPE, audience, scope) for scope in token.scopes)
    return tuple(digests)


@dataclass(slots=True)
class LiveRules:
    """Rules as they stand after some answer, and which keys that answer withdrew. `head` is the highest number of any of
    them, `kinds` says of which kinds there may be one."""

    columns: RuleColumns = field(default_factory=RuleColumns)
    head: int = 0
    kinds: frozenset[str] = frozenset()
    unknown_kinds: int = 0
    withdrawn: list[bytes] = field(default_factory=list)

    @classmethod
    def after(cls, answer: FeedAnswer, before: LiveRules) -> LiveRules:
        """Returns what `answer` makes of `before`, which nobody may change meanwhile. Any thread may ask for it."""
        if answer.snapshot:
            fresh = cls(RuleColumns(len(answer)))
        else:
            fresh = cls(before.columns.without_first(0), before.head, before.kinds)
        fresh.add(answer)
        return fresh

    def add(self, answer: FeedAnswer) -> None:
        """Adds all rules of an answer; those of a kind this version does not know can stay, for nothing will ask for them."""
        for kind, expires_at, numbers, digests in answer.blocks():
            if kind == RuleKind.KEY:
                self.withdrawn += split(digests)
                continue
            self.columns.extend(digests, numbers, NEVER if expires_at is None else expires_at)
            if kind not in self.kinds:
                self.kinds |= {kind}
            if kind not in ALL_KINDS:
                self.unknown_kinds += len(numbers)
            self.head = max(self.head, numbers[-1])


class Picture:
    """The live rules, and for whoever asks about a token: `rules`, the `kinds` of which there may be one, the highest number
    any ever had (`head`). `version` changes after every change: whoever read it before the rest, and then `head`, `kinds` and
    `rules` in this order, can only look once too often. They are attributes, because the asking takes no longer than a call.
    """

    def __init__(self, withdraw: Callable[[bytes], None]) -> None:
        self._withdraw = withdraw
        self._known = LiveRules()
        self._tidied_at = float("-inf")
        self.epoch: str | None = None
        self.seq = 0
        self.rules = self._known.columns
        self.kinds = self._known.kinds
        self.head = 0
        self.version = 0
        self.unknown_kinds = 0

    def __len__(self) -> int:
        return len(self.rules)

    @property
    def cursor(self) -> str | None:
        """What to ask the feed from; absent when only a snapshot will do."""
        epoch = self.epoch
        return None if epoch is None else f"{epoch}.{self.seq}"

    def forget_cursor(self) -> None:
        """Has the next answer be a snapshot. What is known to be revoked stays so until then."""
        self.epoch = None

    def after(self, answer: FeedAnswer) -> LiveRules:
        """Returns what `apply` would make of the rules, for a large answer: another thread may take its time over it."""
        return LiveRules.after(answer, self._known)

    def apply(self, answer: FeedAnswer, now: float, made: LiveRules | None = None) -> None:
        """Takes an answer over, or raises `FeedOutOfStep` and changes nothing. `now` is wall-clock time, for expiry; `made` is
        what `after` made of it, if somebody asked already.

        Numbers may be missing between rules (expired ones are not sent, some concern servers only), but an answer to a
        cursor can only hold rules above it.
        """
        if not answer.snapshot:
            if answer.epoch != self.epoch or answer.seq < self.seq:
                raise FeedOutOfStep("the answer does not continue the picture")
            if (first := answer.first) is not None and first <= self.seq:
                raise FeedOutOfStep("a rule was sent twice")
        if made is None and answer.snapshot:
            made = self.after(answer)
        if made is None:
            self._known.add(answer)
        self._become(made or self._known, changed=made is not None or len(answer) > 0)
        self.epoch, self.seq = answer.epoch, answer.seq
        self._forget_expired(now)

    def state(self) -> PictureState | None:
        """Returns a copy of all that is known; nothing when it does not stand at a cursor."""
        if self.epoch is None:
            return None
        return PictureState(self.epoch, self.seq, self.rules.without_first(0))

    def resume(self, state: PictureState, now: float) -> None:
        """Goes on from where an earlier process was. `now` is wall-clock time, for expiry."""
        columns = state.rules.without_first(0)
        self._become(LiveRules(columns, max(columns.numbers, default=0), ALL_KINDS), changed=True)
        self.epoch, self.seq = state.epoch, state.seq
        self._forget_expired(now)

    def revokes(self, revision: int, digests: Iterable[bytes]) -> bool:
        """Tells whether a rule newer than `revision` names one of `digests`."""
        return self.rules.revokes(revision, digests)

    def _become(self, known: LiveRules, changed: bool) -> None:
        """Shows what is known now, whole lists at a time: another thread must never meet a picture that is half told."""
        for digest in known.withdrawn:
            self._withdraw(digest)
        known.withdrawn.clear()
        self.unknown_kinds, known.unknown_kinds = self.unknown_kinds + known.unknown_kinds, 0
        self._known = known
        self.rules = known.columns
        self.kinds = known.kinds
        self.head = known.head
        self.version += changed

    def is_untidy(self, now: float) -> bool:
        """Tells whether it is time to look for expired rules again."""
        return abs(now - self._tidied_at) >= _TIDY_SECONDS

    def living(self, now: float) -> RuleColumns:
        """Returns the rules without those whose last token has died here too: our clock may be ahead of the issuer's. Any
        thread may look for them, while nobody adds any."""
        return self.rules.living(now - 2 * LEEWAY)

    def keep(self, living: RuleColumns, now: float) -> None:
        """Drops all rules but those."""
        self._tidied_at = now
        self.rules = self._known.columns = living

    def _forget_expired(self, now: float) -> None:
        if self.is_untidy(now) and len(self) <= LARGE_PICTURE:
            self.keep(self.living(now), now)
