"""Would this backup bring the installation back? Tried in a scratch database, with nothing of the installation touched."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from identity.administration.errors import AdministrationError
from identity.administration.manifest import DATABASE, KEYS, Manifest
from identity.keyring.folder import KeyFolder
from identity.keyring.live import load_keys
from identity.keyring.place import KeyPlace


@dataclass(frozen=True, slots=True)
class Contents:
    """What a restored database holds. `last_event` is when the audit trail ends: what was done later is lost."""

    people: int
    clients: int
    api_keys: int
    seq: int
    last_event: str


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What was found, and how long the database took to come back."""

    manifest: Manifest
    contents: Contents
    signing_key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a rehearsal takes place. `scratch` makes and removes an empty database; `load` fills it and brings it to this
    version; `look` says what is in it."""

    scratch: Callable[[], AbstractContextManager[str]]
    load: Callable[[str, Path], Awaitable[None]]
    look: Callable[[str], Awaitable[Contents]]


async def rehearse(folder: Path, passphrase: bytes | None, keys: KeyPlace, stage: Stage) -> Rehearsed:
    """Restores the backup in `folder` where it disturbs nobody, and looks at it. Its keys must open with the passphrase; where
    it has none, those of the installation must."""
    manifest, began = Manifest.read(folder), time.monotonic()
    keyring = (await load_keys(KeyFolder(folder / KEYS, passphrase) if manifest.keys else keys)).keyring
    with stage.scratch() as database:
        await stage.load(database, folder / DATABASE)
        seconds, contents = time.monotonic() - began, await stage.look(database)
    if contents.seq < manifest.seq:
        raise AdministrationError(f"The dump ends at rule {contents.seq}, and the manifest says {manifest.seq}.")
    return Rehearsed(manifest, contents, keyring.current.kid, seconds)
