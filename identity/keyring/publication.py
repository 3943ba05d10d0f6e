"""May the next key sign already? Only when every verifier has had the time to see it (K01)."""

from __future__ import annotations

from typing import Protocol

from identity.keyring.states import Keyring, KeyringError


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
    """The next key has not been published long enough; it will have been in `seconds`, if nothing changes."""

    def __init__(self, reasons: list[str], seconds: float) -> None:
        super().__init__("The next key may not sign yet: " + "; ".join(reasons) + ".")
        self.reasons = reasons
        self.seconds = seconds


def require_published(keyring: Keyring, servers: dict[str, dict[str, float]], required: float, now: float) -> None:
    """Raises `TooEarlyError` unless every living server has published the next key for `required` seconds.

    Where no server lives, nobody fetches keys either; then the time since the key was made counts, so that two rotations in
    a row, with the servers stopped, cannot outrun the verifiers' caches.
    """
    if not servers:
        age = now - keyring.next.created_at
        if age < required:
            raise TooEarlyError(
                [f"no server is running, and it was made only {age:.1f} s of {required:g} s ago"], required - age
            )
        return
    times = {name: kids.get(keyring.next.kid, 0.0) for name, kids in servers.items()}
    late = {name: seconds for name, seconds in sorted(times.items()) if seconds < required}
    if late:
        reasons = [f"{name} has published it for {seconds:.1f} s of {required:g} s" for name, seconds in late.items()]
        raise TooEarlyError(reasons, required - min(late.values()))
