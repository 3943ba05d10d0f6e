"""What a place of keys is: where a keyring and its private keys are kept, and change together or not at all.

There are two: a folder (`folder.py`), and the SQL database (`store/sql/keys.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from identity.keyring.algorithms import PrivateKey
from identity.keyring.states import Keyring, KeyringError, RefreshKeyRecord, SigningKeyRecord


class KeyringConflictError(KeyringError):
    """Somebody else changed the keyring in between: read it again and decide again."""

    def __init__(self, message: str = "The keyring was changed by somebody else at the same time.") -> None:
        super().__init__(message)


class KeyPlaceAwayError(KeyringError):
    """The place cannot be asked just now; what it holds is not known."""


@dataclass(frozen=True, slots=True)
class PrivateKeys:
    """Private keys by `kid`, and refresh keys by key id. Nothing of them shows when it is printed."""

    signing: Mapping[str, PrivateKey] = field(default_factory=dict, repr=False)
    refresh: Mapping[str, bytes] = field(default_factory=dict, repr=False)


NONE_NEW = PrivateKeys()


class KeyPlace(Protocol):
    """Whatever is missing, damaged, or another key than it is named for is a `KeyringError` of one sentence: never is a key
    made to replace it (K08). A process that is killed at any moment leaves the old keyring, or the new one, whole (K07)."""

    async def is_initialised(self) -> bool:
        """Returns whether a keyring was ever made here."""

    async def stamp(self) -> object:
        """Returns a value that changes whenever the keyring does; cheap, for running servers ask each second."""

    async def read(self) -> Keyring:
        """Returns the keyring as it stands, without opening a private key."""

    async def load_signing_key(self, record: SigningKeyRecord) -> PrivateKey:
        """Returns the private key of `record`."""

    async def load_refresh_key(self, record: RefreshKeyRecord) -> bytes:
        """Returns the 32 bytes of a refresh key."""

    async def create(self, keyring: Keyring, private: PrivateKeys) -> None:
        """Stores a keyring with all its private keys; refuses where there is one, unless that was moved away before."""

    async def replace(self, old: Keyring, new: Keyring, made: PrivateKeys = NONE_NEW) -> None:
        """Stores `new`, with the private keys `made` for it, if `old` still stands; else `KeyringConflictError`, and nothing
        is stored. Private keys that `new` has no need of are gone then."""


def kids_in_need(keyring: Keyring) -> set[str]:
    """Returns the signing keys whose private halves are kept: those that are published. One that is replaced stays until it
    is retired, because a server that starts may have read the keyring a moment ago."""
    return {record.kid for record in keyring.published}


def refresh_ids_in_need(keyring: Keyring) -> set[str]:
    """Returns the refresh keys that are kept: all that the keyring names."""
    return {record.key_id for record in keyring.refresh}


def require_new(standing: Keyring | None, keyring: Keyring, place: str) -> None:
    """Raises unless `keyring` may be created where `standing` stands: a second one would replace keys in use (K08). One that
    was moved away is replaced when it comes back, and then it is newer; a first keyring never is."""
    if standing is not None and (not standing.moved_to or keyring.version <= standing.version):
        raise KeyringError(f"{place} already holds a keyring.")
