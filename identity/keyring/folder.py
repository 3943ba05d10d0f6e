"""The keys folder: private keys as PKCS#8 files, and `keyring.json`, which holds the states.

Everything is 0600 and written to a new file that then takes the old one's place, so a crash leaves the old state or the
new one. Whoever changes the folder holds its lock and has read the version it replaces. A key that is missing, damaged or
readable by others is a refusal, never a reason to make a new one (K08).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from identity.keyring.signers import base64url, public_jwk, rsa_public_key
from identity.keyring.states import (
    Keyring,
    KeyringError,
    KeyState,
    RefreshKeyRecord,
    SigningKeyRecord,
)
from identity.verifier.profile import RSA_PUBLIC_EXPONENT

_STATES_FILE = "keyring.json"
_KEY_ID_BYTES = 3


class KeyringConflictError(KeyringError):
    """Somebody else changed the keyring in between: read it again and decide again."""


class KeyFolder:
    """One `keys/` folder, on this machine or mounted by every replica."""

    def __init__(self, path: Path, passphrase: bytes | None = None) -> None:
        self.path = path
        self._passphrase = passphrase

    @property
    def is_initialised(self) -> bool:
        """Whether a keyring was ever made here."""
        return (self.path / _STATES_FILE).exists()

    def stamp(self) -> tuple[int, int, int]:
        """Returns a value that changes whenever the keyring does; costs one `stat`."""
        status = (self.path / _STATES_FILE).stat()
        return status.st_mtime_ns, status.st_ino, status.st_size

    def initialise(self, bits: int, now: int) -> Keyring:
        """Makes the first keyring: a current key, a next key, a refresh key. Refuses where there is one already."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if self.is_initialised:
                raise KeyringError(f"{self.path} already holds a keyring.")
            current = self.new_signing_key(bits, KeyState.CURRENT, now)
            following = self.new_signing_key(bits, KeyState.NEXT, now)
            keyring = Keyring(1, (current, following), (self.new_refresh_key(now),))
            self._write_states(keyring)
        return keyring

    def read(self) -> Keyring:
        """Returns the keyring as it stands, without opening a private key."""
        path = self.path / _STATES_FILE
        try:
            return _parse(json.loads(_read_private(path)))
        except FileNotFoundError:
            raise KeyringError(f"{path} is missing; `identity keys init` makes a first keyring.") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KeyringError(f"{path} is damaged ({type(error).__name__}); restore it from a backup.") from None

    def replace(self, old: Keyring, new: Keyring) -> None:
        """Stores `new` if `old` still stands, as one compare-and-set; then removes private files nobody needs."""
        with self._locked():
            if self.read().version != old.version:
                raise KeyringConflictError("The keyring was changed by somebody else at the same time.")
            self._require_files(new)
            self._write_states(new)
            self._remove_spent_files(new)

    def new_signing_key(self, bits: int, state: KeyState, now: int) -> SigningKeyRecord:
        """Writes a new RSA key (CSPRNG, exponent 65537) and returns its record; it exists before any state names it."""
        key = rsa.generate_private_key(RSA_PUBLIC_EXPONENT, bits)
        jwk = public_jwk(key.public_key())
        self._write_private(f"{jwk['kid']}.pem", key)
        return SigningKeyRecord(jwk["kid"], state, jwk, now, promoted_at=now if state is KeyState.CURRENT else None)

    def new_refresh_key(self, now: int) -> RefreshKeyRecord:
        """Writes a new refresh key. Its 32 random bytes stand in the file as an Ed25519 seed, which gives them the same
        container, and the same encryption at rest, as every other key; nothing is ever signed with it."""
        key_id = base64url(secrets.token_bytes(_KEY_ID_BYTES))
        self._write_private(
            f"refresh.{key_id}.pem", ed25519.Ed25519PrivateKey.from_private_bytes(secrets.token_bytes(32))
        )
        return RefreshKeyRecord(key_id, now)

    def load_signing_key(self, record: SigningKeyRecord) -> RSAPrivateKey:
        """Returns the private key of `record`, or refuses: it must be readable, private, RSA, and the one it is named for."""
        path = self.path / f"{record.kid}.pem"
        key = self._load(path)
        if not isinstance(key, RSAPrivateKey) or public_jwk(key.public_key()) != record.public:
            raise KeyringError(f"{path} is not the key that the keyring says it is.")
        return key

    def load_refresh_key(self, record: RefreshKeyRecord) -> bytes:
        """Returns the 32 bytes of a refresh key."""
        path = self.path / f"refresh.{record.key_id}.pem"
        key = self._load(path)
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise KeyringError(f"{path} is not a refresh key.")
        return key.private_bytes_raw()

    def copy_to(self, other: KeyFolder) -> Keyring:
        """Copies states and private keys, as they are, into a folder that has none; nobody changes them meanwhile."""
        other.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(), other._locked():
            keyring = self.read()
            if other.is_initialised:
                raise KeyringError(f"{other.path} already holds a keyring.")
            for name in sorted(_files_of(keyring)):
                _write_atomically(other.path / name, _read_private(self.path / name))
            other._write_states(keyring)
        return keyring

    def in_clear(self) -> list[str]:
        """Returns the names of the private key files that are not encrypted at rest."""
        return [name for name in sorted(_files_of(self.read())) if not _is_encrypted(_read_private(self.path / name))]

    def _load(self, path: Path) -> object:
        try:
            data = _read_private(path)
            return serialization.load_pem_private_key(data, self._passphrase if _is_encrypted(data) else None)
        except FileNotFoundError:
            raise KeyringError(f"{path} is missing; restore it from a backup.") from None
        except TypeError:
            raise KeyringError(
                f"{path} is encrypted; set IDENTITY_KEYS_PASSPHRASE or IDENTITY_KEYS_PASSPHRASE_FILE."
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise KeyringError(f"{path} is damaged, or the passphrase is wrong.") from None

    def _write_private(self, name: str, key: RSAPrivateKey | ed25519.Ed25519PrivateKey) -> None:
        encryption = (
            serialization.BestAvailableEncryption(self._passphrase)
            if self._passphrase
            else serialization.NoEncryption()
        )
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        _write_atomically(self.path / name, pem)

    def _write_states(self, keyring: Keyring) -> None:
        _write_atomically(self.path / _STATES_FILE, json.dumps(asdict(keyring), indent=1).encode())

    def _require_files(self, keyring: Keyring) -> None:
        """Whoever changed the keyring a moment ago tidied up, and may have removed a new key that no state named yet."""
        if any(not (self.path / name).exists() for name in _files_of(keyring)):
            raise KeyringConflictError("The keyring was changed by somebody else at the same time.")

    def _remove_spent_files(self, keyring: Keyring) -> None:
        needed = _files_of(keyring)
        for path in self.path.glob("*.pem"):
            if path.name not in needed:
                path.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _files_of(keyring: Keyring) -> set[str]:
    signing = {f"{record.kid}.pem" for record in keyring.published}
    return signing | {f"refresh.{record.key_id}.pem" for record in keyring.refresh}


def _parse(document: dict[str, Any]) -> Keyring:
    signing = tuple(SigningKeyRecord(**{**item, "state": KeyState(item["state"])}) for item in document["signing"])
    for record in signing:
        # What stands here is published: exactly the public members of the very key that the kid names (K02, K03).
        if public_jwk(rsa_public_key(record.public)) != record.public or record.public["kid"] != record.kid:
            raise ValueError
    refresh = tuple(RefreshKeyRecord(**item) for item in document["refresh"])
    return Keyring(int(document["version"]), signing, refresh)


def _is_encrypted(pem: bytes) -> bool:
    return b"ENCRYPTED" in pem.split(b"\n", 1)[0]


def _read_private(path: Path) -> bytes:
    """Reads a file that must belong to us alone; checked on the open descriptor, so it cannot be swapped in between."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise KeyringError(f"{path} can be read by others; run `chmod 600` on it, and rotate if others had access.")
        if status.st_uid not in (os.getuid(), 0):
            raise KeyringError(f"{path} belongs to another user.")
        return file.read()


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
