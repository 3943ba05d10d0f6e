"""The table: what was measured, what was promised, and whether it was kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Ratio

Format = Callable[[float], str]


def percent(value: float) -> str:
    """0.7 as 70 %."""
    return f"{value * 100:.0f} %"


def times(value: float) -> str:
    """2.2 as 2.2x."""
    return f"{value:.2f}x"


def megabytes(value: float) -> str:
    """Bytes as MB."""
    return f"{value / 1e6:.0f} MB"


def milliseconds(value: float) -> str:
    """Seconds as ms."""
    return f"{value * 1e3:.0f} ms"


def plain_bytes(value: float) -> str:
    """Bytes as B."""
    return f"{value:.0f} B"


@dataclass(frozen=True, slots=True)
class Target:
    """What a measure has to reach. `less_is_better` turns both around."""

    floor: float
    aim: float
    unit: Format
    less_is_better: bool = False

    def verdict(self, value: float) -> str:
        """Names the better of the two marks that `value` reaches."""
        sign = -1 if self.less_is_better else 1
        if value * sign >= self.aim * sign:
            return "aim"
        return "floor" if value * sign >= self.floor * sign else "MISSED"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Without a result, `note` says why nothing was measured."""

    measure: str
    target: Target
    result: Ratio | None
    note: str = ""

    @classmethod
    def failed(cls, measure: str, note: str) -> Row:
        """Stands for a group of which nothing could be measured, because something went wrong."""
        return cls(measure, Target(0, 0, times), None, note)

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """The texts of the line."""
        unit, target = self.target.unit, self.target
        if self.result is None:
            return self.measure, "not measured", unit(target.floor), unit(target.aim), "-", self.note
        result = self.result
        text = f"{unit(result.median)} ({unit(result.least)} - {unit(result.greatest)})"
        return self.measure, text, unit(target.floor), unit(target.aim), target.verdict(result.median), self.note

    def as_json(self) -> dict[str, object]:
        """The line as numbers, for `--json`."""
        result = self.result
        return {
            "measure": self.measure,
            "result": result and {"median": result.median, "min": result.least, "max": result.greatest},
            "floor": self.target.floor,
            "aim": self.target.aim,
            "verdict": self.target.verdict(result.median) if result else "not measured",
            "note": self.note,
        }


def print_table(rows: Sequence[Row]) -> None:
    """Prints all rows on standard output."""
    console = Console(highlight=False, width=190)
    table = Table(title="Medians of per-round ratios (least - greatest)", title_justify="left")
    for heading in ("measure", "result", "at least", "aim", "verdict", "note"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row.cells())
    console.print(table)
