"""An empty place of keys of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from engines import SqlServer, sql
from key_places import KINDS, MASTER, Somewhere, begin

from identity.keyring.folder import KeyFolder
from identity.keyring.place import KeyPlace
from identity.store.sql.engine import Database
from identity.store.sql.keys import SqlKeys


async def make_somewhere(kind: str, folder: Path, opened: list[Database]) -> Somewhere:
    if kind == "folder":
        path = folder / "keys"
        return Somewhere(kind, str(path), lambda: KeyFolder(path))
    url = await SqlServer(kind, folder).migrated_url()

    def open_it() -> KeyPlace:
        opened.append(Database(url))
        return SqlKeys(opened[-1], MASTER)

    return Somewhere(kind, url, open_it)


@pytest.fixture(params=KINDS)
async def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Somewhere]:
    """A place with nothing in it."""
    opened: list[Database] = []
    yield await make_somewhere(request.param, tmp_path, opened)
    for database in opened:
        await database.close()


@pytest.fixture
async def place(somewhere: Somewhere) -> KeyPlace:
    """A place with a first keyring."""
    place = somewhere.open()
    await begin(place)
    return place


__all__ = ["place", "somewhere", "sql"]
