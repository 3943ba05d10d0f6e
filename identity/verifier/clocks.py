"""The two clocks: one says when tokens expire and means the same to every process, the other measures ages and never jumps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Clocks(NamedTuple):
    """`wall` is Unix time; `monotonic` counts from anywhere. Both in seconds."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
