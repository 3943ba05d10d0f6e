"""May the next key sign already? Only when every verifier has had the time to see it (K01)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from identity.keyring.states import Keyring, KeyringError

_ASK_AGAIN_SECONDS = 1.0
"""A verifier may fetch the keys at any moment."""


class Publications(Protocol):
    """What the living server processes publish."""

    async def report(self, kids: tuple[str, ...]) -> None:
        """Says that this process lives, and publishes `kids` now. Never fails: a process that is not heard counts as dead."""

    async def leave(self) -> None:
        """Says that this process publishes nothing any more. Never fails."""

    async def servers(self) -> dict[str, dict[str, float]]:
        """Returns, for each living process, how many seconds it has published each key; may raise
        `StoreUnavailableError`."""


class TooEarlyError(KeyringError):
    """The next key may not sign yet, for `reasons`; nothing can have changed within `seconds`."""

    def __init__(self, reasons: list[str], seconds: float) -> None:
        super().__init__("The next key may not sign yet: " + "; ".join(reasons) + ".")
        self.reasons = reasons
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Readiness:
    """What decides whether the next key may sign. `servers`: for each living one, how many seconds it has published each
    key. `verifiers`: for each live one that holds keys, which; one without any fetches them before it accepts anything."""

    servers: Mapping[str, Mapping[str, float]]
    verifiers: Mapping[str, Collection[str]]

    def require(self, keyring: Keyring, required: float, now: float) -> None:
        """Raises `TooEarlyError` unless every living server has published the next key for `required` seconds, and no live
        verifier says that it does not hold it."""
        kid = keyring.next.kid
        waits = {name: required - kids.get(kid, 0.0) for name, kids in sorted(self.servers.items())}
        reasons = {
            f"{name} has published it for {required - left:.1f} s of {required:g} s": left
            for name, left in waits.items()
            if left > 0
        }
        if not self.servers and (left := required - (now - keyring.next.created_at)) > 0:
            # Where no server lives, nobody fetches keys either: two rotations in a row, with the servers stopped, would
            # outrun the verifiers' caches.
            reasons[f"no server is running, and it was made only {required - left:.1f} s of {required:g} s ago"] = left
        reasons |= {
            f"the verifier {name} does not hold it": _ASK_AGAIN_SECONDS
            for name, kids in sorted(self.verifiers.items())
            if kids and kid not in kids
        }
        if reasons:
            raise TooEarlyError(list(reasons), max(reasons.values()))

    def has_reached_servers(self, keyring: Keyring) -> bool:
        """Tells whether every living server has loaded a keyring with these keys: publishing and signing change together."""
        return all({keyring.current.kid, keyring.next.kid} <= set(published) for published in self.servers.values())
