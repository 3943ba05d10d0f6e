"""Interleaves what is compared: every variant once in each round, in rotating order, so that noise meets all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Name = TypeVar("Name", bound=Hashable)


def interleave(rounds: int, variants: Mapping[Name, Callable[[], T]]) -> dict[Name, list[T]]:
    """Runs every variant once in each round and returns what each gave, round by round."""
    names, found = list(variants), {name: list[T]() for name in variants}
    for index in range(rounds):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(variants[name]())
    return found


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the ratios of all rounds, and the least and the greatest of them."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
        """Divides round by round: what both met in one round cancels out."""
        return cls.around([one / other for one, other in zip(ours, theirs, strict=True)])

    @classmethod
    def around(cls, values: Sequence[float]) -> Ratio:
        """Returns median and range of values that are ratios already, or sizes."""
        return cls(statistics.median(values), min(values), max(values))
