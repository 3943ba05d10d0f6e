"""The checker: holds a recorded history against the invariants I1 to I7, and says what broke which.

It knows nothing of the product, only what was asked, what was answered and what was broken meanwhile; so it can itself be
tested, with histories of servers that do it wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from history import NEVER, Fault, History, Kind, Operation, Outcome

ACCEPTING = (Kind.REFRESH, Kind.REPLAY, Kind.INTROSPECT, Kind.VERIFY)
ISSUING = (Kind.LOGIN, Kind.REFRESH)
ENDING = (Kind.END, Kind.REPLAY)


@dataclass(frozen=True)
class Promises:
    """What the product promises, in seconds."""

    window: float = 10.0
    """In which a repeated refresh gets the same successor."""
    reach: float = 2.0
    """Until every verifier refuses what was revoked."""
    set_back: float = 1.0
    """How long a store that came back older may be believed."""
    fresh: float = 2.0
    """How long a server issues without having confirmed that it knows every rule."""
    recovery: float = 10.0
    """After the end of a fault, without an operator."""
    patience: float = 15.0
    """Until the last request is answered, or cut off."""


@dataclass(frozen=True)
class Violation:
    """One thing that must never happen."""

    invariant: str
    moment: float
    what: str
    operation: Operation | None = None


class Checker:
    """Looks at one history; `violations` are all of them, `late_retries` what the contract allows and an operator may ask
    about: sessions that ended because their owner came back after the window."""

    def __init__(self, history: History, promises: Promises | None = None) -> None:
        self._history, self._promises = history, promises or Promises()
        self._sessions = history.by_session()
        self._forgetful = [fault for fault in history.faults if fault.forgets is not None]
        self.late_retries = 0
        checks: tuple[Callable[[], Iterator[Violation]], ...] = (
            self._no_fork,
            self._no_undoing,
            self._nobody_elses,
            self._no_false_logout,
            self._no_false_refusal,
            self._closed_while_away,
            self._no_internals,
            self._recovers,
        )
        self.violations = [violation for check in checks for violation in check()]

    def _no_fork(self) -> Iterator[Violation]:
        """I1: one generation has one successor, and one successor has one origin."""
        successors: defaultdict[str, set[str]] = defaultdict(set)
        origins: defaultdict[str, set[str]] = defaultdict(set)
        for each in self._history.of(Kind.REFRESH, Kind.REPLAY, outcome=Outcome.OK):
            if self._promises.window == 0 and each.presented in successors:
                yield Violation("I1", each.ended, "a generation was used twice, with no retry allowed", each)
            successors[each.presented].add(each.received)
            origins[each.received].add(each.presented)
            if len(successors[each.presented]) > 1:
                yield Violation("I1", each.ended, "a generation has two successors", each)
            if len(origins[each.received]) > 1:
                yield Violation("I1", each.ended, "a successor belongs to two generations", each)

    def _no_undoing(self) -> Iterator[Violation]:
        """I2: what was acknowledged as ended is accepted nowhere, beyond the stated bounds; of a replay likewise."""
        for operations in self._sessions.values():
            ended_at = self._acknowledged_end(operations)
            for each in operations:
                is_late = each.kind in ACCEPTING and each.began > ended_at + self._bound(each)
                if is_late and each.outcome is Outcome.OK and not self._is_excused(each, ended_at):
                    late = each.began - ended_at
                    yield Violation("I2", each.ended, f"accepted {late:.2f} s after its end was acknowledged", each)
            for each in operations:
                if each.kind is Kind.REPLAY and each.outcome is Outcome.OK and not self._may_be_forgotten(each):
                    yield Violation("I2", each.ended, "a replay was answered with tokens", each)

    def _acknowledged_end(self, operations: list[Operation]) -> float:
        """The first moment at which somebody was told that the session is over."""
        moments = [
            each.ended
            for each in operations
            if (each.kind is Kind.END and each.outcome is Outcome.OK)
            or (each.kind is Kind.REPLAY and each.outcome is Outcome.REFUSED and not self._may_be_forgotten(each))
        ]
        return min(moments, default=NEVER)

    def _bound(self, each: Operation) -> float:
        return self._promises.reach if each.kind is Kind.VERIFY else 0.0

    def _is_excused(self, each: Operation, ended_at: float) -> bool:
        """A store that came back older is believed for a moment; a rule does not travel while what carries it is away."""
        if each.kind is not Kind.VERIFY:
            late = self._promises.set_back
            return any(
                fault.overlaps(ended_at, each.ended) and each.began <= fault.ended + late for fault in self._forgetful
            )
        late = self._promises.recovery
        reach = ended_at + self._promises.reach
        return any(
            fault.overlaps(ended_at, reach) and each.began <= fault.ended + late for fault in self._history.faults
        )

    def _nobody_elses(self) -> Iterator[Violation]:
        """I3: an answer is for whoever asked: the same person, client and grant in the whole session, as at its login."""
        people: dict[str, str] = {}
        for operations in self._sessions.values():
            answers = [each for each in operations if each.owner]
            for each in answers:
                if each.owner != answers[0].owner:
                    yield Violation("I3", each.ended, "an answer reached another session", each)
                if each.person and people.setdefault(each.person, each.owner[0]) != each.owner[0]:
                    yield Violation("I3", each.ended, "an answer reached another person", each)
        if len(set(people.values())) != len(people):
            yield Violation("I3", 0.0, "two people are one")

    def _no_false_logout(self) -> Iterator[Violation]:
        """I4: who asks again after an unclear outcome goes on, or is refused cleanly; nobody is logged out for a retry."""
        for operations in self._sessions.values():
            over_since, asked = self._end_began(operations), dict[str, float]()
            for each in operations:
                if each.kind is not Kind.REFRESH:
                    continue
                first = asked.setdefault(each.presented, each.began)
                if each.outcome is not Outcome.REFUSED or each.ended >= over_since:
                    continue
                if self._login_may_be_lost(operations[0], each.ended):
                    continue
                if each.ended - first > self._promises.window:
                    self.late_retries += 1
                else:
                    age = each.began - operations[0].ended
                    what = f"a living session of {age:.1f} s was refused: {each.detail}"
                    yield Violation("I4", each.ended, what, each)

    def _end_began(self, operations: list[Operation]) -> float:
        """The moment at which somebody first asked for the end of the session; without a retry window, whoever presented a
        token for the second time did."""
        moments = [each.began for each in operations if each.kind in ENDING]
        if self._promises.window == 0:
            presented = [each for each in operations if each.kind is Kind.REFRESH]
            seen: set[str] = set()
            moments += [each.began for each in presented if each.presented in seen or seen.add(each.presented)]
        return min(moments, default=NEVER)

    def _login_may_be_lost(self, login: Operation, by: float) -> bool:
        return any(
            fault.forgets is not None
            and fault.began <= by
            and login.began <= fault.ended
            and login.ended >= fault.forgets
            for fault in self._forgetful
        )

    def _may_be_forgotten(self, replay: Operation) -> bool:
        """Whether Redis may not have known, at that moment, that the token was used."""
        return any(fault.began <= replay.ended for fault in self._forgetful)

    def _no_false_refusal(self) -> Iterator[Violation]:
        """The seam: a service accepts the token of a session that nobody ended, whatever happens to the issuer."""
        for operations in self._sessions.values():
            ended_at = self._end_began(operations)
            for each in operations:
                if each.kind is Kind.VERIFY and each.outcome is not Outcome.OK and each.ended < ended_at:
                    yield Violation("I5", each.ended, f"a service refused a valid token: {each.detail}", each)

    def _closed_while_away(self) -> Iterator[Violation]:
        """I5: what needs a store is refused while the store is away: 503, not an answer of unknown worth."""
        for fault in self._history.faults:
            since = fault.began + self._promises.fresh
            for each in self._history.of(*fault.closes, outcome=Outcome.OK):
                if since < each.began and each.ended < fault.ended:
                    yield Violation("I5", each.ended, f"{each.kind} succeeded during {fault.name}", each)

    def _no_internals(self) -> Iterator[Violation]:
        """I6: no 500, and nobody waits for ever; while a server lives, everybody gets an answer."""
        for each in self._history.operations:
            if each.outcome is Outcome.BROKEN:
                yield Violation("I6", each.ended, f"broken: {each.detail}", each)
            elif each.ended - each.began > self._promises.patience:
                yield Violation("I6", each.ended, f"{each.ended - each.began:.1f} s without an answer", each)
            elif each.outcome is Outcome.UNCLEAR and not self._may_be_cut(each):
                yield Violation("I6", each.ended, f"no answer, though no server died: {each.detail}", each)

    def _may_be_cut(self, each: Operation) -> bool:
        return any(fault.cuts and fault.overlaps(each.began, each.ended) for fault in self._history.faults)

    def _recovers(self) -> Iterator[Violation]:
        """I7: after a fault every server issues again, by itself and in time."""
        for fault in self._history.faults:
            for server, seconds in recoveries(self._history, fault).items():
                if fault.recovers and seconds > self._promises.recovery:
                    yield Violation("I7", fault.ended, f"{server} issued {seconds:.1f} s after {fault.name}, or never")


def recoveries(history: History, fault: Fault) -> dict[str, float]:
    """Seconds from the end of the fault to the first success of each server that was asked at all after it; where there was
    none, until the next fault."""
    following = min((each.began for each in history.faults if each.began > fault.ended), default=NEVER)
    found: dict[str, float] = {}
    for each in history.of(*ISSUING):
        if fault.ended <= each.began < following:
            found.setdefault(each.server, following - fault.ended)
            if each.outcome is Outcome.OK:
                found[each.server] = min(found[each.server], each.ended - fault.ended)
    return found


def unavailable_seconds(history: History) -> float:
    """The longest time, touching a fault, in which nobody was issued anything."""
    moments = sorted(each.ended for each in history.of(*ISSUING, outcome=Outcome.OK))
    gaps = [
        later - earlier
        for earlier, later in pairwise(moments)
        if any(fault.overlaps(earlier, later) for fault in history.faults)
    ]
    return max(gaps, default=0.0)


def percentile(history: History, share: float, *kinds: Kind) -> float:
    """How long the successes of these kinds took."""
    seconds = sorted(each.ended - each.began for each in history.of(*kinds, outcome=Outcome.OK))
    return seconds[int(share * (len(seconds) - 1))] if seconds else 0.0
