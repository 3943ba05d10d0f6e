"""The states of the keys and the transitions between them: pure, versioned, never derived from a clock.

    next -> current -> previous -> retired        withdrawn: never again, from any state

There is always a *next* key, published long before it signs, so no rotation meets a verifier that has not seen the key.
A key has one algorithm, and each algorithm has keys of its own, in the same states (K04). One that is added to a keyring in
use begins with a next key alone: it signs after its first rotation, and is as unknown to nobody as any other then.
Every transition returns a new `Keyring` with the version raised by one; storing it is a compare-and-set on the old version.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from identity.verifier.profile import ALGORITHM, ALGORITHMS, MAX_PUBLISHED_KEYS

PublicJwk = dict[str, str]


class KeyringError(Exception):
    """A keyring that cannot be used, or a transition that is not allowed; the message is one clear sentence."""


class KeyState(StrEnum):
    """Where a signing key is in its life."""

    NEXT = "next"
    CURRENT = "current"
    PREVIOUS = "previous"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"


PUBLISHED = frozenset({KeyState.NEXT, KeyState.CURRENT, KeyState.PREVIOUS})


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """What is known of one signing key. Times are Unix seconds and decide nothing by themselves.

    `public` is the public JWK; it outlives the private half, to verify old `id_token_hint`s.
    """

    kid: str
    state: KeyState
    public: PublicJwk
    created_at: int
    promoted_at: int | None = None
    replaced_at: int | None = None

    @property
    def algorithm(self) -> str:
        """What it signs with, and nothing else does it ever sign with (K04)."""
        return self.public.get("alg", ALGORITHM)


@dataclass(frozen=True, slots=True)
class RefreshKeyRecord:
    """One key of the refresh tokens' MAC: the first in the keyring begins new families, older ones serve theirs out."""

    key_id: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys at one version: of each algorithm, exactly one is next, and one current as soon as it signs; RS256 always does
    (OpenID Connect Core section 15.1). With `moved_to` it goes on being read, but the one that changes is kept there."""

    version: int
    signing: tuple[SigningKeyRecord, ...]
    refresh: tuple[RefreshKeyRecord, ...]
    moved_to: str = ""

    def __post_init__(self) -> None:
        following = [record.algorithm for record in self.signing if record.state is KeyState.NEXT]
        signing = [record.algorithm for record in self.signing if record.state is KeyState.CURRENT]
        for state, algorithms in ((KeyState.CURRENT, signing), (KeyState.NEXT, following)):
            if ALGORITHM not in algorithms or len(set(algorithms)) != len(algorithms):
                raise KeyringError(f"The keyring must hold exactly one {state} key of each algorithm.")
        if not set(signing) <= set(following):
            raise KeyringError("The keyring must hold a next key of each algorithm.")
        if len({record.kid for record in self.signing}) != len(self.signing):
            raise KeyringError("The keyring names one key twice.")
        if not self.refresh:
            raise KeyringError("The keyring holds no refresh key.")

    @property
    def current(self) -> SigningKeyRecord:
        """The key that signs with RS256."""
        return self.currents[ALGORITHM]

    @property
    def next(self) -> SigningKeyRecord:
        """The key that will sign with RS256 after the next rotation; already published."""
        return self.nexts[ALGORITHM]

    @property
    def currents(self) -> dict[str, SigningKeyRecord]:
        """The keys that sign, by algorithm: one that is not here signs nothing yet."""
        return self._by_algorithm(KeyState.CURRENT)

    @property
    def nexts(self) -> dict[str, SigningKeyRecord]:
        """The keys that will sign, by algorithm: every one that the keyring holds."""
        return self._by_algorithm(KeyState.NEXT)

    @property
    def published(self) -> tuple[SigningKeyRecord, ...]:
        """The keys that stand in the JWKS."""
        return tuple(record for record in self.signing if record.state in PUBLISHED)

    @property
    def withdrawn_kids(self) -> tuple[str, ...]:
        """The keys that are never accepted again."""
        return tuple(record.kid for record in self.signing if record.state is KeyState.WITHDRAWN)

    def promoted(self, *successors: SigningKeyRecord, now: int, urgent: bool = False) -> Keyring:
        """Of each successor's algorithm, next signs from now on, current becomes previous, and the successor is the new next.
        An `urgent` one may publish a key too many, until what is urgent is withdrawn: verifiers then keep the keys they have,
        and those include next."""
        if not urgent:
            self._require_room(len(successors))
        moved: dict[str, SigningKeyRecord] = {}
        for algorithm in (successor.algorithm for successor in successors):
            promoted = self.nexts[algorithm]
            moved[promoted.kid] = replace(promoted, state=KeyState.CURRENT, promoted_at=now)
            if (replaced := self.currents.get(algorithm)) is not None:
                moved[replaced.kid] = replace(replaced, state=KeyState.PREVIOUS, replaced_at=now)
        return self._with_signing((*(moved.get(record.kid, record) for record in self.signing), *successors))

    def with_algorithm(self, first: SigningKeyRecord) -> Keyring:
        """`first` is next of an algorithm that the keyring did not hold: published before it signs, like any other (K01)."""
        if first.algorithm in self.nexts:
            raise KeyringError(f"The keyring holds keys for {first.algorithm} already.")
        self._require_room(1)
        return self._with_signing((*self.signing, first))

    def with_next(self, successor: SigningKeyRecord, now: int) -> Keyring:
        """`successor` is next instead of the one of its algorithm that was, which never signed and is previous."""
        spent = self.nexts[successor.algorithm]
        moved = replace(spent, state=KeyState.PREVIOUS, replaced_at=now)
        return self._with_signing((*(moved if record is spent else record for record in self.signing), successor))

    def restarted(self, *made: SigningKeyRecord, now: int) -> Keyring:
        """What was `made` signs and is next; all that were published are previous."""
        moved = (
            replace(record, state=KeyState.PREVIOUS, replaced_at=now) if record in self.published else record
            for record in self.signing
        )
        return self._with_signing((*moved, *made))

    def withdrawn(self, *kids: str) -> Keyring:
        """These keys are never accepted again; none of them may be signing or about to. Same version if all are already."""
        if {record.kid for record in (*self.currents.values(), *self.nexts.values())}.intersection(kids):
            raise KeyringError("A key that signs, or is next, must be replaced before it is withdrawn.")
        signing = tuple(
            replace(record, state=KeyState.WITHDRAWN) if record.kid in kids else record for record in self.signing
        )
        return self if signing == self.signing else self._with_signing(signing)

    def retired(self, replaced_before: int, forgotten_before: float = float("-inf")) -> Keyring:
        """Previous keys that stopped signing before `replaced_before` are published no more; retired ones that did before
        `forgotten_before` are named no more: nothing they signed is asked about. Same version if there are none."""
        signing = tuple(
            replace(record, state=KeyState.RETIRED) if _is_spent(record, replaced_before) else record
            for record in self.signing
            if not (record.state is KeyState.RETIRED and _replaced_at(record) < forgotten_before)
        )
        return self if signing == self.signing else self._with_signing(signing)

    def with_refresh_key(self, successor: RefreshKeyRecord, oldest_family: int) -> Keyring:
        """`successor` begins new families. A key is dropped once the one that followed it is older than `oldest_family`:
        then no living family was begun with it."""
        kept = [successor]
        for record in self.refresh:
            if kept[-1].created_at >= oldest_family:
                kept.append(record)
        return self._changed(refresh=tuple(kept))

    def with_only_refresh_key(self, successor: RefreshKeyRecord) -> Keyring:
        """No refresh token made so far is authentic any more: every session ends."""
        return self._changed(refresh=(successor,))

    def moved(self, to: str) -> Keyring:
        """The keyring is kept at `to` from now on: this one changes no more, and servers that still read it go on."""
        return self._changed(moved_to=to)

    def arrived(self) -> Keyring:
        """What a moved keyring is where it was moved to."""
        return replace(self, moved_to="")

    def _by_algorithm(self, state: KeyState) -> dict[str, SigningKeyRecord]:
        found = {record.algorithm: record for record in self.signing if record.state is state}
        return {algorithm: found[algorithm] for algorithm in ALGORITHMS if algorithm in found}

    def _require_room(self, keys: int) -> None:
        if len(self.published) + keys > MAX_PUBLISHED_KEYS:
            raise KeyringError(
                f"{len(self.published)} keys are published already, of at most {MAX_PUBLISHED_KEYS}; wait until tokens signed "
                f"by the oldest have expired."
            )

    def _with_signing(self, signing: tuple[SigningKeyRecord, ...]) -> Keyring:
        return self._changed(signing=signing)

    def _changed(self, **changes: Any) -> Keyring:
        if self.moved_to:
            raise KeyringError(f"The keys have moved to the {self.moved_to}; set IDENTITY_KEYS_IN={self.moved_to}.")
        return replace(self, version=self.version + 1, **changes)


def _is_spent(record: SigningKeyRecord, replaced_before: int) -> bool:
    return record.state is KeyState.PREVIOUS and _replaced_at(record) < replaced_before


def _replaced_at(record: SigningKeyRecord) -> float:
    return float("inf") if record.replaced_at is None else record.replaced_at
