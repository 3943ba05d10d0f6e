"""How many examples: few and always the same ones in every run of the tests, many and others each time when asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

_LONG = 100
"""How many times as many examples the long form makes."""

Length = Callable[[int], settings]


def short(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def long(examples: int) -> settings:
    return settings(short(examples), max_examples=examples * _LONG, derandomize=False, print_blob=True)


both_lengths = pytest.mark.parametrize(
    "length", [pytest.param(short, id="short"), pytest.param(long, id="long", marks=pytest.mark.experiment)]
)
