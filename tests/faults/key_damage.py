"""Ways to damage the keys of an installation behind its back, what a server says to each, and how it is put right."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, update
from sqlmodel import col, select

from identity.keyring.document import read_keyring, write_keyring
from identity.keyring.folder import KeyFolder
from identity.keyring.making import first_keyring
from identity.keyring.states import Keyring
from identity.models import KeyringRow, SealedKey
from identity.store.sql.engine import Database

MASTER_KEY = secrets.token_hex(32)
NOBODY = 65534


@dataclass(frozen=True)
class Damage:
    """One way. `settings` are those of the server that is started upon it; `says` stands in its refusal."""

    name: str
    says: str
    do: Callable[[], Awaitable[None]] | None = None
    settings: tuple[tuple[str, str], ...] = ()


class Folder:
    """The keys folder, and the copy from which it is put right."""

    def __init__(self, path: Path) -> None:
        self._path, self._good, self._other = path, path.with_name("good-keys"), path.with_name("other-keys")

    async def prepare(self) -> None:
        """Makes another installation's folder, too."""
        shutil.copytree(self._path, self._good)
        await KeyFolder(self._other).create(*first_keyring(2048, int(time.time())))

    async def keep(self) -> None:
        """Remembers the folder as it is now."""
        shutil.rmtree(self._good)
        shutil.copytree(self._path, self._good)

    async def repair(self) -> None:
        """Puts it right, each file as a whole, the states last."""
        self._path.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(self._good.iterdir(), key=lambda path: path.name == "keyring.json"):
            new = self._path / f"repaired.{path.name}"
            shutil.copy(path, new)
            new.chmod(0o600)
            new.replace(self._path / path.name)

    def damages(self) -> list[Damage]:
        """Every way."""
        found = [
            Damage(
                "a folder of its own",
                "all servers must use one keyring",
                None,
                (("IDENTITY_KEYS_DIR", str(self._other)),),
            ),
            Damage("signing key truncated", "is damaged", self._change("current", lambda data: data[: len(data) // 2])),
            Damage("keyring.json missing", "keyring.json is missing", self._remove("states")),
            Damage("signing key missing", "is missing", self._remove("current")),
            Damage("signing key empty", "is damaged", self._change("current", lambda _: b"")),
            Damage("signing key corrupted", "is damaged", self._change("current", corrupted)),
            Damage("next key corrupted", "is damaged", self._change("next", corrupted)),
            Damage("refresh key truncated", "is damaged", self._change("refresh", lambda data: data[:50])),
            Damage("refresh key missing", "is missing", self._remove("refresh")),
            Damage("another's key", "is not the key", self._change("current", lambda _: self._others_key())),
            Damage("readable by others", "chmod 600", self._open_to_others),
            Damage(
                "keyring.json truncated", "keyring.json is damaged", self._change("states", lambda data: data[:200])
            ),
            Damage("keyring.json empty", "keyring.json is damaged", self._change("states", lambda _: b"")),
            Damage("folder missing", "keyring.json is missing", self._remove_folder),
        ]
        if os.getuid() == 0:
            found.append(Damage("another user's file", "belongs to another user", self._give_away))
        return found

    def _file(self, which: str) -> Path:
        keyring = self._standing(self._good)
        names = {
            "current": f"{keyring.current.kid}.pem",
            "next": f"{keyring.next.kid}.pem",
            "refresh": f"refresh.{keyring.refresh[0].key_id}.pem",
            "states": "keyring.json",
        }
        return self._path / names[which]

    @staticmethod
    def _standing(folder: Path) -> Keyring:
        return read_keyring((folder / "keyring.json").read_bytes())

    def _others_key(self) -> bytes:
        return (self._other / f"{self._standing(self._other).current.kid}.pem").read_bytes()

    def _change(self, which: str, change: Callable[[bytes], bytes]) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            path = self._file(which)
            path.write_bytes(change(path.read_bytes()))

        return do

    def _remove(self, which: str) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            self._file(which).unlink()

        return do

    async def _remove_folder(self) -> None:
        shutil.rmtree(self._path)

    async def _open_to_others(self) -> None:
        self._file("current").chmod(0o644)

    async def _give_away(self) -> None:
        os.chown(self._file("current"), NOBODY, NOBODY)


class Rows:
    """The keys in the database, and the rows from which they are put right."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder
        self._good: list[KeyringRow | SealedKey] = []

    async def prepare(self) -> None:
        """Remembers the rows; the folder of another installation is made beside them."""
        await KeyFolder(self._folder).create(*first_keyring(2048, int(time.time())))
        await self.keep()

    async def keep(self) -> None:
        """Remembers the rows as they are now."""
        async with self._database.read() as session:
            self._good = [*(await session.scalars(select(KeyringRow))), *(await session.scalars(select(SealedKey)))]

    async def repair(self) -> None:
        """Puts all of them back."""
        async with self._database.transaction() as session:
            await session.execute(delete(KeyringRow))
            await session.execute(delete(SealedKey))
            session.add_all(type(row)(**row.model_dump()) for row in self._good)

    def damages(self) -> list[Damage]:
        """Every way."""
        elsewhere = (("IDENTITY_KEYS_IN", "folder"), ("IDENTITY_KEYS_DIR", str(self._folder)))
        stranger = (("IDENTITY_MASTER_KEY", secrets.token_hex(32)),)
        return [
            Damage("a folder of its own", "all servers must use one keyring", None, elsewhere),
            Damage("two keys swapped", "another's place", self._swap),
            Damage("keyring row missing", "holds no keyring", lambda: self._delete(KeyringRow)),
            Damage("another master key", "which is not the one in IDENTITY_MASTER_KEY", None, stranger),
            Damage(
                "half a master key",
                "IDENTITY_MASTER_KEY: must be 32",
                None,
                (("IDENTITY_MASTER_KEY", MASTER_KEY[:32]),),
            ),
            Damage("signing key truncated", "is damaged", self._change("current", lambda data: data[: len(data) // 2])),
            Damage("signing key empty", "is damaged", self._change("current", lambda _: b"")),
            Damage("signing key corrupted", "is damaged", self._change("current", corrupted)),
            Damage("next key corrupted", "is damaged", self._change("next", corrupted)),
            Damage("refresh key corrupted", "is damaged", self._change("refresh", lambda data: corrupted(data, 20))),
            Damage("all private keys missing", "is missing", lambda: self._delete(SealedKey)),
            Damage("states changed", "is damaged", self._change_states),
        ]

    def _row(self, which: str) -> SealedKey:
        states = next(row for row in self._good if isinstance(row, KeyringRow))
        keyring = read_keyring(states.document)
        ids = {"current": keyring.current.kid, "next": keyring.next.kid, "refresh": keyring.refresh[0].key_id}
        return next(row for row in self._good if isinstance(row, SealedKey) and row.key_id == ids[which])

    async def _store(self, row: SealedKey, sealed: bytes) -> None:
        named = (col(SealedKey.purpose) == row.purpose, col(SealedKey.key_id) == row.key_id)
        async with self._database.transaction() as session:
            await session.execute(update(SealedKey).where(*named).values(sealed=sealed))

    def _change(self, which: str, change: Callable[[bytes], bytes]) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            row = self._row(which)
            await self._store(row, change(row.sealed))

        return do

    async def _swap(self) -> None:
        one, other = self._row("current"), self._row("next")
        await self._store(one, other.sealed)
        await self._store(other, one.sealed)

    async def _delete(self, table: type[KeyringRow] | type[SealedKey]) -> None:
        async with self._database.transaction() as session:
            await session.execute(delete(table))

    async def _change_states(self) -> None:
        states = next(row for row in self._good if isinstance(row, KeyringRow))
        document = write_keyring(read_keyring(states.document).retired(2**40))
        async with self._database.transaction() as session:
            await session.execute(update(KeyringRow).values(document=document + " "))


def corrupted(data: bytes, at: int = 400) -> bytes:
    """With one bit turned over."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
