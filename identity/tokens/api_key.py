"""API keys: `idk_`, the key's id, `_`, its secret, and a checksum over all of that. `verifier/profile.py` has the form, because
a service that takes keys refuses what is none without asking anybody."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from identity.verifier.profile import (
    API_KEY_ALPHABET,
    API_KEY_ID_CHARACTERS,
    API_KEY_PREFIX,
    API_KEY_SECRET_CHARACTERS,
    api_key_checksum,
    is_api_key,
)


@dataclass(frozen=True, slots=True)
class KeyCredential:
    """What a key says: which one it is, and the secret that proves it. The id is no secret; access tokens carry it."""

    key_id: str
    secret: str = field(repr=False)

    @property
    def secret_hash(self) -> bytes:
        """What is stored of the secret. It is random and long, so a plain hash of it is safe to keep (A32)."""
        return hashlib.sha256(self.secret.encode()).digest()


def new_key() -> KeyCredential:
    """Returns a new key: an id of 128 random bits and more, a secret of 256."""
    return KeyCredential(_random(API_KEY_ID_CHARACTERS), _random(API_KEY_SECRET_CHARACTERS))


def write_key(key: KeyCredential) -> str:
    """Returns the text that its holder keeps."""
    rest = f"{API_KEY_PREFIX}{key.key_id}_{key.secret}"
    return rest + api_key_checksum(rest)


def read_key(text: str) -> KeyCredential | None:
    """Returns what a well-formed key says, or None for anything else; nothing is known yet of its secret."""
    if not is_api_key(text):
        return None
    key_id, _, rest = text.removeprefix(API_KEY_PREFIX).partition("_")
    return KeyCredential(key_id, rest[:API_KEY_SECRET_CHARACTERS])


def _random(characters: int) -> str:
    return "".join(secrets.choice(API_KEY_ALPHABET) for _ in range(characters))
