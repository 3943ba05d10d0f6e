"""Sealing with master keys: what is kept in SQL is read, and believed, only by whoever holds one.

AES-256-GCM with a random 96-bit nonce for each seal. Whatever a sealed thing is and wherever it stands is bound to it, so a
row that is put in another's place does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from identity.keyring.states import KeyringError

_KEY_BYTES = 32
_NONCE_BYTES = 12
_FEWEST_DIFFERENT_BYTES = 16
"""32 random bytes practically never have fewer; zeros, or a word repeated, do."""

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{43}=?")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One master key; `key_id` is derived from it, and tells nothing of it."""

    key_id: str
    _cipher: AESGCM = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> MasterKey:
        """Reads 32 random bytes in hexadecimal or base64url; `ValueError`, which shows nothing of the text, otherwise."""
        key = read_key(text)
        return cls(hashlib.sha256(b"identity master key\0" + key).hexdigest()[:16], AESGCM(key))


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was sealed, and the name of the master key that opens it."""

    master_key_id: str
    data: bytes


class MasterKeys:
    """The first one seals; each opens what it sealed. So a master key is replaced while servers run."""

    def __init__(self, first: MasterKey, *others: MasterKey) -> None:
        self._first = first
        self._all = {key.key_id: key for key in (first, *others)}

    def seal(self, data: bytes, *bound_to: str) -> Sealed:
        """Returns `data` encrypted and bound to names; opened only with the same names."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return Sealed(self._first.key_id, nonce + self._first._cipher.encrypt(nonce, data, _bound(bound_to)))

    def open(self, sealed: Sealed, what: str, *bound_to: str) -> bytes:
        """Returns what was sealed, or raises `KeyringError` with a sentence about `what`."""
        key = self._all.get(sealed.master_key_id)
        if key is None:
            raise KeyringError(
                f"{what} is sealed with the master key {sealed.master_key_id}, which is not the one in IDENTITY_MASTER_KEY."
            )
        nonce, ciphertext = sealed.data[:_NONCE_BYTES], sealed.data[_NONCE_BYTES:]
        try:
            return key._cipher.decrypt(nonce, ciphertext, _bound(bound_to))
        except (InvalidTag, ValueError):
            raise KeyringError(f"{what} is damaged, or stands in another's place; restore it from a backup.") from None


def read_key(text: str) -> bytes:
    """Returns 32 random bytes written in hexadecimal or base64url; `ValueError`, which shows nothing of the text, for anything
    else."""
    key = _decoded(text)
    if key is None or len(set(key)) < _FEWEST_DIFFERENT_BYTES:
        raise ValueError("must be 32 random bytes in hexadecimal or base64url, as `openssl rand -hex 32` makes them")
    return key


def _decoded(text: str) -> bytes | None:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if not _BASE64URL.fullmatch(text):
        return None
    unpadded = text.rstrip("=")
    try:
        key = base64.urlsafe_b64decode(unpadded + "=")
    except binascii.Error:
        return None
    # Only one spelling is right: bits that do not count would let two texts name one key.
    return key if base64.urlsafe_b64encode(key).rstrip(b"=").decode() == unpadded else None


def _bound(names: tuple[str, ...]) -> bytes:
    return json.dumps(names).encode()
