"""What a metrics library may be told: counts and codes, never a token nor anything it says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

log = logging.getLogger("identity.verifier")


class Observer(Protocol):
    """Counts what happens. The methods are called in the way of requests, by whichever thread verifies: they must be quick, and
    safe to call from several at once. How stale the picture is and how old the keys are is asked of `Verifier.status()`."""

    def accepted(self, *, stale: bool) -> None:
        """A token was accepted; `stale`: although the picture of the feed was too old, by the policy."""

    def refused(self, code: str) -> None:
        """A token was refused; `code` is a `Refusal`, `keys_unavailable` when no token could be judged, or where it was the
        proof beside it `invalid_dpop_proof`, `use_dpop_nonce` or `proofs_unavailable`. That a proof was used before is known
        only when its token was accepted, and counted."""

    def keys_fetched(self, *, failed: bool) -> None:
        """The issuer's keys were asked for."""

    def feed_polled(self, *, failed: bool) -> None:
        """The revocation feed was asked."""

    def introspected(self, *, failed: bool) -> None:
        """The issuer was asked about one token; `failed`: it did not answer."""


class Telling:
    """Tells an observer, if there is one. What it raises is logged once and reaches nobody."""

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer
        self._failing = False

    def tell(self, say: Callable[[Observer], None]) -> None:
        """Has `say` tell the observer."""
        if self._observer is None:
            return
        try:
            say(self._observer)
        except Exception as error:
            if not self._failing:
                self._failing = True
                log.warning("the observer of the verifier fails: %s", type(error).__name__)


NOBODY: Final = Telling(None)
