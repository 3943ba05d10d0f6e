"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    GOOD = "good"
    REPAIRED = "repaired"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """One sentence, and how bad it is. It names things by id and never holds a secret (A64)."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check called `check` found. The name is stable: programs may look for it."""

    check: str
    verdict: Verdict
    sentence: str


def good(sentence: str) -> list[Found]:
    """All is well."""
    return [Found(Verdict.GOOD, sentence)]


def repaired(sentence: str) -> list[Found]:
    """It was not, and is now."""
    return [Found(Verdict.REPAIRED, sentence)]


def warning(sentence: str) -> list[Found]:
    """It works, and somebody should do something about it."""
    return [Found(Verdict.WARNING, sentence)]


def problem(sentence: str) -> list[Found]:
    """Something does not work, or is not safe."""
    return [Found(Verdict.PROBLEM, sentence)]
