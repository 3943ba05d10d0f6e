"""What the living servers publish. May the next key sign already? Only when every verifier has had the time to see it (K01).
Do all servers use one keyring (K07), and is it the newest there was (K08)?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from identity.keyring.states import Keyring, KeyringError, SigningKeyRecord
from identity.verifier.profile import ALGORITHM

_ASK_AGAIN_SECONDS = 1.0
"""A verifier may fetch the keys at any moment."""


class Publication(NamedTuple):
    """A living server process has published a key for so many seconds."""

    server: str
    kid: str
    seconds: float


class Publications(Protocol):
    """What the living server processes publish, and which keys were ever withdrawn."""

    async def report(self, kids: tuple[str, ...], withdrawn: tuple[str, ...]) -> list[Publication]:
        """Says that this process lives, publishes `kids` now, and knows that `withdrawn` are; returns what others publish and
        it does not. Never fails: a process that is not heard counts as dead."""

    async def leave(self) -> None:
        """Says that this process publishes nothing any more. Never fails."""

    async def servers(self) -> dict[str, dict[str, float]]:
        """Returns, for each living process, how many seconds it has published each key; may raise
        `StoreUnavailableError`."""

    async def remember_withdrawn(self, kids: tuple[str, ...]) -> None:
        """Remembers for ever that these keys are withdrawn. Never fails: living servers say it again each second."""

    async def withdrawn(self) -> set[str]:
        """Returns every key that was ever withdrawn; may raise `StoreUnavailableError`."""


class TooEarlyError(KeyringError):
    """A next key may not sign yet, for `reasons`; nothing can have changed within `seconds`."""

    def __init__(self, reasons: list[str], seconds: float) -> None:
        super().__init__("The next key may not sign yet: " + "; ".join(reasons) + ".")
        self.reasons = reasons
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Readiness:
    """What decides whether next keys may sign. `servers`: for each living one, how many seconds it has published each
    key. `verifiers`: for each live one that holds keys, which; one without any fetches them before it accepts anything."""

    servers: Mapping[str, Mapping[str, float]]
    verifiers: Mapping[str, Collection[str]]

    def require(
        self, keyring: Keyring, required: float, now: float, algorithms: Collection[str] = (ALGORITHM,)
    ) -> None:
        """Raises `TooEarlyError` unless every living server has published the next keys of these algorithms for `required`
        seconds, and no live verifier says that it does not hold one that it would need."""
        reasons: dict[str, float] = {}
        for algorithm in algorithms:
            reasons |= self._unpublished(keyring.nexts[algorithm], required, now)
            reasons |= self._unknown(keyring, algorithm)
        if reasons:
            raise TooEarlyError(list(reasons), max(reasons.values()))

    def _unpublished(self, key: SigningKeyRecord, required: float, now: float) -> dict[str, float]:
        if not self.servers:
            # Where no server lives, nobody fetches keys either: two rotations in a row, with the servers stopped, would
            # outrun the verifiers' caches.
            left = required - (now - key.created_at)
            reason = f"no server is running, and it was made only {required - left:.1f} s of {required:g} s ago"
            return {reason: left} if left > 0 else {}
        waits = {name: required - kids.get(key.kid, 0.0) for name, kids in sorted(self.servers.items())}
        return {
            f"{name} has published it for {required - left:.1f} s of {required:g} s": left
            for name, left in waits.items()
            if left > 0
        }

    def _unknown(self, keyring: Keyring, algorithm: str) -> dict[str, float]:
        """A verifier that holds keys of other algorithms only does not accept this one: it leaves its keys out of a JWKS."""
        others = {record.kid for record in keyring.signing if record.algorithm != algorithm}
        return {
            f"the verifier {name} does not hold it": _ASK_AGAIN_SECONDS
            for name, kids in sorted(self.verifiers.items())
            if keyring.nexts[algorithm].kid not in kids and not others.issuperset(kids)
        }

    def has_reached_servers(self, keyring: Keyring) -> bool:
        """Tells whether every living server has loaded a keyring with these keys: publishing and signing change together."""
        newest = {record.kid for record in (*keyring.currents.values(), *keyring.nexts.values())}
        return all(newest <= set(published) for published in self.servers.values())


def is_behind(keyring: Keyring, others: Iterable[Publication], patience: float) -> str:
    """Returns one sentence if a server has published a key that `keyring` does not even name, for longer than it takes to
    notice a change; else nothing. That key came later than this keyring, or from another one: either way this process should
    leave, and it hears of it minutes before the other one signs with that key, because a next key waits for so long."""
    named = {record.kid for record in keyring.signing}
    strange = [each for each in others if each.kid not in named and each.seconds > patience]
    if not strange:
        return ""
    return (
        f"The server {strange[0].server} publishes the key {strange[0].kid}, which the keyring of this one does not hold; "
        f"all servers must use one keyring."
    )


def revives(keyring: Keyring, withdrawn: Collection[str]) -> str:
    """Returns one sentence if `keyring` uses a key that was withdrawn; else nothing. It was restored from an older backup."""
    revived = [record.kid for record in keyring.published if record.kid in withdrawn]
    if not revived:
        return ""
    return (
        f"The keyring is an old one: it still uses {', '.join(revived)}, which was withdrawn; restore the newest, or run "
        f"`identity keys compromise {revived[0]}`."
    )
