"""What was asked of an installation and what came of it: all that the checker of the invariants ever looks at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

NEVER = float("inf")


class Kind(StrEnum):
    """What was asked."""

    LOGIN = "login"
    REFRESH = "refresh"
    """By the owner, with the newest token known to them."""
    REPLAY = "replay"
    """By a thief, with a token whose successor was used long ago."""
    END = "end"
    """Whatever ends the session: logout, revocation, a disabled person, another password."""
    VERIFY = "verify"
    """At a service, with no question to the issuer."""
    INTROSPECT = "introspect"
    KEYS = "keys"
    """The JWKS."""


class Outcome(StrEnum):
    """What came of it."""

    OK = "ok"
    REFUSED = "refused"
    """The protocol's own refusal; of a token: it is not good, or not any more."""
    UNAVAILABLE = "unavailable"
    """503, with the time after which to come back."""
    BROKEN = "broken"
    """Any other 5xx, or an answer that is none."""
    UNCLEAR = "unclear"
    """Cut off, or nothing heard in time: nobody knows whether it was done."""
    ABANDONED = "abandoned"
    """As unclear, but on purpose: the client, or a proxy, hung up."""


UNKNOWN = frozenset({Outcome.UNCLEAR, Outcome.ABANDONED})


@dataclass(frozen=True, slots=True)
class Operation:
    """One request. Moments are of the machine's monotonic clock.

    `presented` and `received` are refresh tokens. `owner` is whom the answer is for, as the access token in it says:
    subject, client and grant.
    """

    kind: Kind
    session: str
    server: str
    began: float
    ended: float
    outcome: Outcome
    presented: str = field(default="", repr=False)
    received: str = field(default="", repr=False)
    owner: tuple[str, ...] = ()
    person: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something was broken between two moments.

    `forgets` is the moment since which data may be missing (None: nothing is lost). `closes` are the kinds that cannot
    succeed meanwhile. `cuts`: whether it may cost a request its answer; a store that is away may not. `recovers`: whether
    everything must work again, by itself, within the promised time.
    """

    name: str
    began: float
    ended: float
    forgets: float | None = None
    closes: frozenset[Kind] = frozenset()
    cuts: bool = False
    recovers: bool = True

    def overlaps(self, began: float, ended: float) -> bool:
        """Whether it was there at some moment of that time."""
        return self.began <= ended and self.ended >= began


@dataclass
class History:
    """Everything, in the order in which it ended."""

    operations: list[Operation] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, operation: Operation) -> Operation:
        """Writes one down."""
        self.operations.append(operation)
        return operation

    def of(self, *kinds: Kind, outcome: Outcome | None = None) -> Iterator[Operation]:
        """The operations of these kinds, perhaps only those that came out so."""
        return (each for each in self.operations if each.kind in kinds and outcome in (None, each.outcome))

    def count(self, *kinds: Kind, outcome: Outcome | None = None) -> int:
        """How many there are."""
        return sum(1 for _ in self.of(*kinds, outcome=outcome))

    def by_session(self) -> dict[str, list[Operation]]:
        """The operations of each session, in the order in which they began."""
        found: defaultdict[str, list[Operation]] = defaultdict(list)
        for each in sorted(self.operations, key=lambda operation: operation.began):
            found[each.session].append(each)
        return found
