"""What was found: each check with what was expected, what came, and the verdict."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from identity.checking.attacks.attack import CLOSED, REFUSED, Attack, Level
from identity.checking.service import SILENT, Answer


class Verdict(StrEnum):
    """`found` fails the run, `hint` does not; `skipped` could not be tried."""

    OK = "ok"
    FOUND = "found"
    HINT = "hint"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    line: str
    level: Level
    says: str
    expected: str
    got: str
    verdict: Verdict


def judge(attack: Attack, answer: Answer, visits: int, usual: int) -> Finding:
    """Returns the verdict on an attack.

    `visits`: how often it made the service ask an address of the attacker's. `usual`: the status this service refuses wrong
    tokens with; when that is an odd one, it is told once and not for every attack.
    """
    verdict, got = _verdict(attack, answer, usual), str(answer)
    if visits:
        verdict, got = Verdict.FOUND, f"{answer}, and it asked the attacker's address"
    return Finding(attack.name, attack.line, attack.level, attack.says, statuses(attack.refused_by), got, verdict)


def _verdict(attack: Attack, answer: Answer, usual: int) -> Verdict:
    if answer.is_success:
        return Verdict.FOUND if attack.level is Level.MUST else Verdict.HINT
    if answer.status == SILENT:
        return Verdict.FOUND
    # Refused, but not as a client would understand it; 429 means that nobody looked at the token at all.
    is_refused = answer.status in attack.refused_by or (answer.status == usual and set(attack.refused_by) >= REFUSED)
    return Verdict.OK if is_refused else Verdict.HINT


def expect(name: str, line: str, level: Level, says: str, expected: str, got: object, is_met: bool) -> Finding:
    """Returns the finding of a check that either holds or does not."""
    failed = Verdict.FOUND if level is Level.MUST else Verdict.HINT
    return Finding(name, line, level, says, expected, str(got), Verdict.OK if is_met else failed)


def skipped(name: str, line: str, says: str, why: str) -> Finding:
    """Returns the finding of a check that could not be tried."""
    return Finding(name, line, Level.MUST, says, "", why, Verdict.SKIPPED)


def statuses(expected: Collection[int]) -> str:
    """Returns statuses as people read them."""
    *others, last = [str(status) for status in sorted(expected) if status != CLOSED] + ["closed"] * (CLOSED in expected)
    return f"{', '.join(others)} or {last}" if others else last
