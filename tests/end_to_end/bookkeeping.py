"""What an experiment that loses Redis remembers: sessions, faults, what was ended when, and whatever must never happen."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

BOUND_SECONDS = 1.0
"""How long after its return a Redis that was set back may have a revoked refresh token accepted (must show 6)."""


@dataclass(frozen=True)
class Fault:
    """Redis lost data between `began_at` and `back_at` (monotonic clock); what it knows is as of `as_of`, None for nothing."""

    began_at: float
    back_at: float
    as_of: float | None


@dataclass(eq=False)
class Session:
    """A login: its refresh tokens in order, when each but the last was used, and its newest access token."""

    asked_at: float
    answered_at: float
    refresh_tokens: list[str]
    access_token: str
    used_at: list[float] = field(default_factory=list)
    ended_at: float = float("inf")

    def advance(self, refresh_token: str, access_token: str) -> None:
        """Takes a successor over."""
        self.used_at.append(time.monotonic())
        self.refresh_tokens.append(refresh_token)
        self.access_token = access_token


@dataclass
class Books:
    """Everything that was seen, and the verdict over it."""

    faults: list[Fault] = field(default_factory=list)
    ended: list[Session] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    accepted_after: list[float] = field(default_factory=list)
    """Seconds between Redis's return and a 200 for a revoked refresh token, negative while it is away."""
    last_revived: list[Session] = field(default_factory=list)
    """The sessions that had ended, and that Redis as it came back last believes alive."""
    began_at: float = field(default_factory=time.monotonic)
    fault_began_at: float = float("inf")
    """When the fault that is not in `faults` yet began."""
    resumed_after: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds between Redis's return and the first login at each server, by the kind of fault."""
    refused_after: list[float] = field(default_factory=list)
    """Seconds between the 200 of a revocation and the first refusal at each verifier."""

    def violated(self, what: str) -> None:
        """Writes down what must never happen, and when it did."""
        self.violations.append(f"{time.monotonic() - self.began_at:.3f} s: {what}")

    def end(self, session: Session) -> None:
        """Notes that the revocation of this session got its 200 just now."""
        session.ended_at = time.monotonic()
        self.ended.append(session)
        self.counts["revocations"] += 1

    def begin_fault(self) -> None:
        """Notes that Redis loses data from now on."""
        self.fault_began_at = time.monotonic()

    def end_fault(self, back_at: float, as_of: float | None) -> None:
        """Notes that Redis is back, and as of when."""
        self.faults.append(Fault(self.fault_began_at, back_at, as_of))
        self.fault_began_at = float("inf")
        self.last_revived = [] if as_of is None else self.would_revive(as_of)
        self.counts["revived sessions"] += len(self.last_revived)

    def accepted_again(self, session: Session, answered_at: float, told: dict[str, str]) -> Session:
        """Judges a 200 for a refresh token of a session that had ended; what was issued is over with it, and returned."""
        after = answered_at - max((fault.back_at for fault in self.faults), default=float("-inf"))
        if self.fault_began_at <= answered_at:
            self.accepted_after.append(self.fault_began_at - answered_at)
        else:
            self.accepted_after.append(after)
            if after > BOUND_SECONDS or session.ended_at > answered_at - after:
                self.violated(f"a refresh token was accepted {after:.3f} s after Redis came back")
        tokens = [told["refresh_token"]], told["access_token"]
        child = Session(session.asked_at, session.answered_at, *tokens, ended_at=session.ended_at)
        self.ended.append(child)
        return child

    def must_be_known(self, session: Session) -> bool:
        """Whether Redis must know this session, whatever happened to it so far."""
        return self.fault_began_at == float("inf") and self._is_known(session, time.monotonic())

    def _is_known(self, session: Session, moment: float) -> bool:
        lost = [each for each in self.faults if each.began_at <= moment and each.back_at >= session.asked_at]
        if not lost:
            return session.answered_at <= moment
        return lost[-1].as_of is not None and self._is_known(session, lost[-1].as_of)

    def would_revive(self, as_of: float) -> list[Session]:
        """The sessions that have ended since, and that Redis as of that moment believes alive."""
        return [each for each in self.ended if as_of < each.ended_at and self._is_known(each, as_of)]

    def report(self) -> str:
        """The figures."""
        lines = [f"{name}: {count}" for name, count in sorted(self.counts.items())]
        lines.append(f"200s for a revoked refresh token: {len(self.accepted_after)} {spread(self.accepted_after)}")
        for kind, seconds in self.resumed_after.items():
            lines.append(f"from Redis's return to the first login after {kind}: {spread(seconds)}")
        lines.append(f"from the 200 of a revocation to a verifier's refusal: {spread(self.refused_after)}")
        return "\n".join([*lines, f"violations: {len(self.violations)}", *self.violations[:20]])


def spread(seconds: list[float]) -> str:
    """The three numbers."""
    if not seconds:
        return "(none)"
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    return f"p50 {p50:.3f} s, p99 {p99:.3f} s, max {ordered[-1]:.3f} s of {len(ordered)}"
