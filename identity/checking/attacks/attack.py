"""What an attack is, and how much it matters."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from identity.checking.material import Material, Request, bearer


class Level(StrEnum):
    """`must`: it lets somebody in, locks somebody out or harms others. `should`: hardening, which fails no run."""

    MUST = "must"
    SHOULD = "should"


CLOSED: Final = 0
"""In the place of a status: the connection was closed without an answer."""

REFUSED: Final = frozenset({400, 401})
"""How a token is refused; 400 where the request itself may be called malformed (RFC 6750 section 3.1)."""

TOO_LARGE: Final = REFUSED | {CLOSED, 413, 414, 431}
"""A server may refuse what is too large before anyone has looked at the token."""

NOT_PERMITTED: Final = frozenset({403})

Forge = Callable[[Material], str | Request]
"""Makes what is sent: a token, sent as a bearer token, or a whole request. The first line of its docstring says what it is."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A request that a good service refuses. `line` is that of the threat catalogue."""

    line: str
    forge: Forge
    level: Level = Level.MUST
    refused_by: Collection[int] = REFUSED

    @property
    def name(self) -> str:
        """The attack's name, the same in every version."""
        return self.forge.__name__.replace("_", "-")

    @property
    def says(self) -> str:
        """What is sent, in a few words."""
        return (self.forge.__doc__ or "").partition("\n")[0]

    def request(self, material: Material) -> Request:
        """Returns what is sent."""
        made = self.forge(material)
        return bearer(made) if isinstance(made, str) else made
