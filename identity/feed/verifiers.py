"""The verifiers that follow the feed: who they are, how far they are, and when a rule has reached all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from identity.feed.rules import Head

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class LiveVerifier:
    """A verifier that was heard of lately. `applied` is how far it says it is, None before its first picture; `kids` are the
    keys it holds; `silent` is how many seconds ago its last poll began."""

    resource: str
    instance: str
    applied: Head | None
    kids: tuple[str, ...]
    silent: float

    @property
    def name(self) -> str:
        """What an operator calls it."""
        return f"{self.resource}/{self.instance}"

    def has_applied(self, head: Head) -> bool:
        """Tells whether it knows every rule up to `head`."""
        return self.applied is not None and self.applied.epoch == head.epoch and self.applied.seq >= head.seq


class Verifiers(Protocol):
    """Where servers note which verifiers poll them, for all servers and operators to see."""

    async def report(
        self, resource: str, instance: str, applied: Head | None, kids: Sequence[str], turn: int = 0
    ) -> None:
        """Notes that this verifier began a poll, its `turn`-th, unless a later one is noted already: two may meet on their way.
        Never fails: one that is not noted is not waited for."""

    async def live(self) -> list[LiveVerifier]:
        """Returns the verifiers that polled within the last minute; may raise `StoreUnavailableError`."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """How far a rule has come: the verifiers that have applied it, those that have not, and seconds since it was written.
    `moments` says after how many seconds each was first seen to have applied it, by name."""

    applied: tuple[LiveVerifier, ...]
    late: tuple[LiveVerifier, ...]
    seconds: float
    moments: Mapping[str, float]

    def __str__(self) -> str:
        everyone = len(self.applied) + len(self.late)
        return f"acknowledged by {len(self.applied)} of {everyone} verifiers in {self.seconds:.1f} s"


async def wait_until_applied(
    verifiers: Verifiers, head: Head, patience: float, progress: Callable[[Acknowledgement], None]
) -> Acknowledgement:
    """Returns when every live verifier has applied the rules up to `head`, or after `patience` seconds with those that have
    not; tells `progress` whenever the number changes. One that fell silent counts until it has been so for a minute: nobody
    can know that it accepts nothing any more."""
    began, told = time.monotonic(), -1
    moments: dict[str, float] = {}
    while True:
        live, seconds = await verifiers.live(), time.monotonic() - began
        applied = tuple(each for each in live if each.has_applied(head))
        late = tuple(each for each in live if not each.has_applied(head))
        moments = {each.name: moments.get(each.name, seconds) for each in applied}
        state = Acknowledgement(applied, late, seconds, moments)
        if not late or state.seconds >= patience:
            return state
        if len(applied) != told:
            told = len(applied)
            progress(state)
        await asyncio.sleep(_LOOK_SECONDS)
