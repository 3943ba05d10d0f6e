"""Backup and restore: the database by its own tool, the keys as they are, and the step that makes a restore safe.

What was revoked after a backup is forgotten with everything else of that time. So whoever restores says so, and everything
that was issued before is refused; nothing ended becomes good again by being forgotten (F25).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from identity.administration.errors import AdministrationError
from identity.administration.manifest import DATABASE, KEYS, Manifest, make_folder
from identity.feed.high_water import HighWater
from identity.feed.ledger import Ledger
from identity.feed.rules import Head
from identity.feed.stores import Journal, Stream
from identity.keyring.folder import KeyFolder
from identity.keyring.place import KeyPlace
from identity.keyring.publication import Publications
from identity.models import AuditEvent
from identity.store.sql.change import SqlChange


@dataclass(frozen=True, slots=True)
class DatabaseTool:
    """The native tool of the database, and what it needs to be asked. `dump` and `load` block."""

    engine: str
    dump: Callable[[Path], None]
    load: Callable[[Path], None]
    revision: Callable[[], Awaitable[str | None]]
    migrate: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Restored:
    """What declaring a restore did: where SQL stood, where numbers go on, and what was disabled because Redis still knew that
    something had ended it."""

    stood_at: int
    goes_on_at: int
    disabled: list[AuditEvent]


class Backups:
    """Makes backups and restores them. Keys that are kept in the database are in its dump, sealed; those in a folder are
    copied."""

    def __init__(
        self,
        issuer: str,
        database: DatabaseTool,
        keys: KeyPlace,
        ledger: Ledger[SqlChange],
        journal: Journal,
        stream: Stream,
        publications: Publications,
        high_water: HighWater,
        actor: str,
    ) -> None:
        self._issuer = issuer
        self._database = database
        self._keys = keys
        self._ledger = ledger
        self._journal = journal
        self._stream = stream
        self._publications = publications
        self._high_water = high_water
        self._actor = actor

    async def make(self, folder: Path, with_keys: bool) -> Manifest:
        """Writes a backup into the new folder, which only its owner can enter. Keys go in as they are at rest, and never in
        the clear (K05)."""
        folder_of_keys = self._keys if with_keys and isinstance(self._keys, KeyFolder) else None
        if folder_of_keys is not None and (clear := await folder_of_keys.in_clear()):
            raise AdministrationError(
                f"{', '.join(clear)} would lie in the backup unencrypted; set IDENTITY_KEYS_PASSPHRASE_FILE and rotate, or "
                "keep the keys elsewhere and say --without-keys."
            )
        revision = await self._database.revision()
        if revision is None:
            raise AdministrationError("The database is empty; there is nothing to back up.")
        # Before the dump: it holds at least this much.
        seq, made_at = (await self._journal.head()).seq, datetime.now(UTC).isoformat(timespec="seconds")
        make_folder(folder)
        await asyncio.to_thread(self._database.dump, folder / DATABASE)
        if folder_of_keys is not None:
            await folder_of_keys.copy_to(KeyFolder(folder / KEYS))
        has_keys = folder_of_keys is not None
        manifest = Manifest(self._issuer, made_at, self._database.engine, revision, seq, has_keys)
        manifest.write(folder)  # Last: a backup without it was not finished, and is not restored.
        return manifest

    async def restore(self, folder: Path) -> tuple[Manifest, Restored, bool]:
        """Fills the empty database, and declares it restored; keys that are here already stay, for they may be newer: some of
        the backup's may have been withdrawn since. Tells whether the keys were taken from the backup."""
        manifest = Manifest.read(folder)
        if manifest.issuer != self._issuer:
            raise AdministrationError(f"This is a backup of {manifest.issuer}, not of {self._issuer}.")
        if manifest.engine != self._database.engine:
            raise AdministrationError(
                f"This is a backup of {manifest.engine}; the database is {self._database.engine}."
            )
        if living := await self._publications.servers():
            # They would serve from a half-filled database; or this is a try beside an installation that is well.
            raise AdministrationError(f"{len(living)} servers are running on this Redis; stop them first.")
        if await self._database.revision() is not None:
            raise AdministrationError("The database is not empty; restore into an empty one.")
        takes_keys = await self._needs_keys(folder, manifest)
        await asyncio.to_thread(self._database.load, folder / DATABASE)
        await self._database.migrate()
        if takes_keys and isinstance(self._keys, KeyFolder):
            await KeyFolder(folder / KEYS).copy_to(self._keys)
        return manifest, await self.declare_restored(), takes_keys

    async def _needs_keys(self, folder: Path, manifest: Manifest) -> bool:
        """Tells whether the keys have to be taken from the backup; they come with the database where that keeps them."""
        if not isinstance(self._keys, KeyFolder) or await self._keys.is_initialised():
            return False
        if not manifest.keys:
            raise AdministrationError(f"There are no keys, neither in {folder} nor in {self._keys.path}.")
        return True

    async def declare_restored(self) -> Restored:
        """Refuses everything that was issued until now and ends all sessions, because nobody knows what was revoked after the
        backup; people log in again. API keys, passwords and secrets are those of the backup."""
        head, told = await self._journal.head(), await self._stream.head()
        reached = max(head.seq + 1, told.seq if told else 0, self._high_water.seq)
        change = await self._ledger.begin_epoch(head, reached)
        after = await self._ledger.catch_up()
        async with self._ledger.change() as said:
            said.record(AuditEvent(event="database.restored", actor=self._actor, detail=_numbers(head, after)))
        return Restored(head.seq, after.seq, change.disabled)


def _numbers(before: Head, after: Head) -> str:
    return f"rule {before.seq} of {before.epoch}, then {after.seq} of {after.epoch}"
