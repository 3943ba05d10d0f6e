"""The figures of an experiment: printed, added up over runs, and a row of the table in docs/reliability.md."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from history import History, Kind, Outcome
from invariants import ISSUING, Checker, Promises, Violation, percentile, recoveries, unavailable_seconds

HEADINGS = (
    "experiment", "fault", "operations", "faults hit", "violations", "unavailable s", "worst p99 ms", "recovery s", "date"
)  # fmt: skip


@dataclass
class Figures:
    """What is printed of each experiment; `rounds` is how much of its long form is done."""

    fault: str
    rounds: int = 0
    operations: int = 0
    faults: int = 0
    violations: int = 0
    unavailable: float = 0.0
    p99: float = 0.0
    recovery: float = 0.0
    date: str = ""
    machine: str = ""
    notes: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> Figures:
        """Both runs as one: counts are summed, of times the worst stands."""
        return Figures(
            other.fault,
            self.rounds + other.rounds,
            self.operations + other.operations,
            self.faults + other.faults,
            self.violations + other.violations,
            max(self.unavailable, other.unavailable),
            max(self.p99, other.p99),
            max(self.recovery, other.recovery),
            other.date,
            other.machine,
            other.notes or self.notes,
        )

    def row(self, name: str) -> str:
        """A line of the table."""
        cells = [
            name,
            self.fault,
            f"{self.operations:,}",
            f"{self.faults:,}",
            str(self.violations),
            f"{self.unavailable:.1f}",
            f"{self.p99 * 1000:.0f}",
            f"{self.recovery:.1f}",
            self.date,
        ]
        return f"| {' | '.join(cells)} |"


class Experiment:
    """One experiment, known by its id in SECURITY (F10). Under `--long` its rounds are added up over runs, in pytest's cache,
    so that one that was cut off goes on where it stood."""

    def __init__(
        self, name: str, fault: str, is_long: bool, load: Callable[[], Any], save: Callable[[Any], None]
    ) -> None:
        self.name, self.fault, self.is_long = name, fault, is_long
        self._load, self._save = load, save

    def rounds(self, short: int, long: int, at_once: int | None = None) -> int:
        """How many rounds this run has to do: a few in CI, what is left of all under `--long` (at most `at_once`)."""
        if not self.is_long:
            return short
        left = max(0, long - self._known().rounds)
        print(f"\n{self.name}: {left} of {long} rounds are left")
        return min(left, at_once or left)

    def report(self, history: History, rounds: int, promises: Promises | None = None, *notes: str) -> list[Violation]:
        """Holds the history against the invariants, prints the figures, adds them to the tally; returns the violations."""
        checker = Checker(history, promises)
        recovered = [seconds for fault in history.faults for seconds in recoveries(history, fault).values()]
        late = (f"{checker.late_retries} retries after the window",) if checker.late_retries else ()
        self.record(
            Figures(
                self.fault,
                rounds,
                len(history.operations),
                len(history.faults),
                len(checker.violations),
                unavailable_seconds(history),
                percentile(history, 0.99, *ISSUING, Kind.END),
                max(recovered, default=0.0),
                notes=[*late, *notes],
            )
        )
        print(outcomes(history))
        if checker.violations:
            print("\n".join(f"  {each.name}: {each.began:.3f} to {each.ended:.3f}" for each in history.faults))
        for each in checker.violations[:10]:
            print(f"  {each.invariant} at {each.moment:.3f}: {each.what} ({each.operation})")
        return checker.violations

    def record(self, figures: Figures) -> None:
        """Prints the figures, and adds them to those of earlier runs when this is a long one."""
        figures.date = time.strftime("%Y-%m-%d")
        figures.machine = f"{platform.machine()}, Python {platform.python_version()}"
        print(f"\n{figures.row(self.name)}")
        for note in figures.notes:
            print(f"  {note}")
        if self.is_long:
            total = self._known().add(figures)
            self._save(asdict(total))
            print(f"  so far: {total.row(self.name)} {total.rounds} rounds")

    def _known(self) -> Figures:
        found = self._load()
        return Figures(**found) if found else Figures(self.fault)


def outcomes(history: History) -> str:
    """How often what came of what."""
    lines = []
    for kind in Kind:
        counts = [f"{outcome} {count:,}" for outcome in Outcome if (count := history.count(kind, outcome=outcome))]
        if counts:
            lines.append(f"  {kind}: {', '.join(counts)}")
    return "\n".join(lines)


def experiment_of(config: pytest.Config, name: str, fault: str) -> Experiment:
    """An experiment whose tally is kept in pytest's cache."""
    assert config.cache is not None
    cache, key = config.cache, f"faults/{name}"
    is_long = bool(config.getoption("--long"))
    return Experiment(name, fault, is_long, lambda: cache.get(key, None), lambda found: cache.set(key, found))
