"""The keys folder: private keys as PKCS#8 files, and `keyring.json`, which holds the states.

Everything is 0600 and written to a new file that then takes the old one's place, so a crash leaves the old state or the
new one. Whoever changes the folder holds its lock and has read what it replaces; private keys are there before a state
names them. A key that is missing, damaged or readable by others is a refusal, never a reason to make a new one (K08).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from identity.keyring.algorithms import PrivateKey
from identity.keyring.document import read_keyring, write_keyring
from identity.keyring.place import (
    NONE_NEW,
    KeyringConflictError,
    PrivateKeys,
    kids_in_need,
    refresh_ids_in_need,
    require_new,
)
from identity.keyring.public_keys import is_private_half
from identity.keyring.states import Keyring, KeyringError, RefreshKeyRecord, SigningKeyRecord

_STATES_FILE = "keyring.json"


class KeyFolder:
    """One `keys/` folder, on this machine or mounted by every replica; implements `place.KeyPlace`. Whatever may wait, for
    the lock, for a disk or for the arithmetic of a key, does so in a thread."""

    def __init__(self, path: Path, passphrase: bytes | None = None) -> None:
        self.path = path
        self._passphrase = passphrase

    async def is_initialised(self) -> bool:
        """Returns whether a keyring was ever made here."""
        return self._states_path.exists()

    async def stamp(self) -> tuple[int, int, int]:
        """Costs one `stat`; `OSError` where there is no keyring."""
        status = self._states_path.stat()
        return status.st_mtime_ns, status.st_ino, status.st_size

    async def read(self) -> Keyring:
        """Returns the keyring as it stands."""
        return await asyncio.to_thread(self._read)

    async def load_signing_key(self, record: SigningKeyRecord) -> PrivateKey:
        """Returns the private key of `record`, or refuses: it must be readable, private, and the one it is named for."""
        path = self.path / _signing_file(record.kid)
        key = await asyncio.to_thread(self._load, path)
        if not is_private_half(key, record.public):
            raise KeyringError(f"{path} is not the key that the keyring says it is.")
        return key

    async def load_refresh_key(self, record: RefreshKeyRecord) -> bytes:
        """Returns the 32 bytes of a refresh key."""
        path = self.path / _refresh_file(record.key_id)
        key = await asyncio.to_thread(self._load, path)
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise KeyringError(f"{path} is not a refresh key.")
        return key.private_bytes_raw()

    async def create(self, keyring: Keyring, private: PrivateKeys) -> None:
        """Stores the first keyring; makes the folder where there is none."""
        await asyncio.to_thread(self._create, keyring, private)

    async def replace(self, old: Keyring, new: Keyring, made: PrivateKeys = NONE_NEW) -> None:
        """Stores `new` if `old` still stands; a private file that another process cannot find is never named."""
        await asyncio.to_thread(self._replace, old, new, made)

    @property
    def _states_path(self) -> Path:
        return self.path / _STATES_FILE

    def _read(self) -> Keyring:
        path = self._states_path
        try:
            return read_keyring(_read_private(path))
        except FileNotFoundError:
            raise KeyringError(f"{path} is missing; `identity keys init` makes a first keyring.") from None
        except ValueError as error:
            raise KeyringError(f"{path} is damaged ({error}); restore it from a backup.") from None

    def _create(self, keyring: Keyring, private: PrivateKeys) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            require_new(self._read() if self._states_path.exists() else None, keyring, str(self.path))
            self._store(keyring, private)

    def _replace(self, old: Keyring, new: Keyring, made: PrivateKeys) -> None:
        with self._locked():
            if self._read() != old:
                raise KeyringConflictError
            self._store(new, made)

    def _store(self, keyring: Keyring, made: PrivateKeys) -> None:
        """Private files, then the states that name them, then away with what no state names: also after a crash before."""
        for kid, key in made.signing.items():
            self._write_private(_signing_file(kid), key)
        for key_id, secret in made.refresh.items():
            # 32 random bytes look like an Ed25519 seed, which gives them the container, and the encryption at rest, of every
            # other key; nothing is ever signed with it.
            self._write_private(_refresh_file(key_id), ed25519.Ed25519PrivateKey.from_private_bytes(secret))
        _write_atomically(self._states_path, write_keyring(keyring).encode())
        self._remove_spent_files(keyring)

    async def in_clear(self) -> list[str]:
        """Returns the names of the private key files that are not encrypted at rest."""
        keyring = await self.read()
        return [name for name in sorted(_files_of(keyring)) if not _is_encrypted(_read_private(self.path / name))]

    async def copy_to(self, other: KeyFolder) -> None:
        """Copies states and private keys, as they are, into a folder that has none; nobody changes them meanwhile."""
        await asyncio.to_thread(self._copy_to, other)

    def _copy_to(self, other: KeyFolder) -> None:
        other.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(), other._locked():
            keyring = self._read()
            require_new(other._read() if other._states_path.exists() else None, keyring, str(other.path))
            for name in sorted(_files_of(keyring)):
                _write_atomically(other.path / name, _read_private(self.path / name))
            _write_atomically(other._states_path, write_keyring(keyring).encode())

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

    def _write_private(self, name: str, key: PrivateKey) -> None:
        encryption = (
            serialization.BestAvailableEncryption(self._passphrase)
            if self._passphrase
            else serialization.NoEncryption()
        )
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        _write_atomically(self.path / name, pem)

    def _remove_spent_files(self, keyring: Keyring) -> None:
        needed = _files_of(keyring)
        for path in (*self.path.glob("*.pem"), *self.path.glob(".*.pem.*"), *self.path.glob(f".{_STATES_FILE}.*")):
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
    signing = {_signing_file(kid) for kid in kids_in_need(keyring)}
    return signing | {_refresh_file(key_id) for key_id in refresh_ids_in_need(keyring)}


def _signing_file(kid: str) -> str:
    return f"{kid}.pem"


def _refresh_file(key_id: str) -> str:
    return f"refresh.{key_id}.pem"


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
