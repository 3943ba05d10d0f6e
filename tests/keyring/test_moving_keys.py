"""Keys move from a folder into SQL and back: all of them, and nobody is logged out (K02, K07)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import make_somewhere
from key_places import Somewhere, begin, promoted, rotate, rotate_refresh_key, withdraw

from identity.administration.key_move import move_keyring
from identity.keyring.folder import KeyFolder
from identity.keyring.live import LoadedKeys, load_keys
from identity.keyring.place import KeyPlace, KeyringConflictError, PrivateKeys
from identity.keyring.states import Keyring, KeyringError
from identity.store.sql.engine import Database
from identity.tokens.refresh_token import Generation, new_family, read_token, write_token

WAYS = ("folder to sqlite", "folder to postgresql", "sqlite to folder", "postgresql to folder")


@pytest.fixture(params=WAYS)
async def way(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Somewhere, Somewhere]]:
    """Where keys are, and where they are to be."""
    opened: list[Database] = []
    source, target = request.param.split(" to ")
    yield await make_somewhere(source, tmp_path, opened), await make_somewhere(target, tmp_path, opened)
    for database in opened:
        await database.close()


async def lived_in(place: KeyPlace) -> LoadedKeys:
    """A keyring with a key in every state, and two refresh keys."""
    first = (await begin(place)).current.kid
    for change in (rotate, rotate, rotate_refresh_key):
        await change(place)
    await withdraw(place, first)
    return await load_keys(place)


def without_place(keyring: Keyring) -> tuple[object, ...]:
    return keyring.signing, keyring.refresh


async def test_every_key_moves_and_sessions_go_on(way: tuple[Somewhere, Somewhere]) -> None:
    """K02, A45: the same kid signs, and a refresh token of before is good afterwards."""
    source, target = (each.open() for each in way)
    before = await lived_in(source)
    token = write_token(before.authenticator, Generation(new_family(before.authenticator), 3))
    arrived = await move_keyring(source, target, "there")
    after = await load_keys(way[1].open())
    assert without_place(after.keyring) == without_place(before.keyring)
    assert after.keyring == arrived
    assert after.published == before.published
    assert after.signer.sign("JWT", b"{}") == before.signer.sign("JWT", b"{}")
    assert read_token(after.authenticator, token) is not None
    assert (await rotate(target)).version > before.keyring.version


async def test_servers_that_still_read_the_old_place_go_on_and_change_nothing(way: tuple[Somewhere, Somewhere]) -> None:
    """K07: two places that both rotate would drift apart."""
    source, target = (each.open() for each in way)
    before = await lived_in(source)
    await move_keyring(source, target, "there")
    late = await load_keys(source)
    assert late.published == before.published
    with pytest.raises(KeyringError, match="set IDENTITY_KEYS_IN=there"):
        await rotate(source)
    with pytest.raises(KeyringError, match="already holds"):
        await begin(source)


async def test_keys_that_moved_may_move_back(way: tuple[Somewhere, Somewhere]) -> None:
    """And what changed meanwhile comes along."""
    source, target = (each.open() for each in way)
    await lived_in(source)
    await move_keyring(source, target, "there")
    rotated = await rotate(target)
    await move_keyring(target, source, "here")
    assert without_place((await load_keys(source)).keyring) == without_place(rotated)
    await rotate(source)
    with pytest.raises(KeyringError, match="IDENTITY_KEYS_IN=here"):
        await rotate(target)


async def test_a_move_that_was_interrupted_is_finished_by_the_next(way: tuple[Somewhere, Somewhere]) -> None:
    """K07: after its first step nothing is lost, and nothing is there twice."""
    source, target = (each.open() for each in way)
    before = await lived_in(source)
    await source.replace(before.keyring, before.keyring.moved("there"))
    assert (await load_keys(source)).published == before.published
    await move_keyring(source, target, "there")
    assert without_place((await load_keys(target)).keyring) == without_place(before.keyring)
    with pytest.raises(KeyringError, match="already holds"):
        await move_keyring(source, target, "there")


async def test_keys_do_not_move_onto_others(way: tuple[Somewhere, Somewhere]) -> None:
    """K08: and those that would have moved go on as before."""
    source, target = (each.open() for each in way)
    await lived_in(source)
    await begin(target)
    with pytest.raises(KeyringError, match="The there already holds a keyring"):
        await move_keyring(source, target, "there")
    await rotate(source)
    await rotate(target)


async def test_keys_of_which_one_is_damaged_do_not_move(way: tuple[Somewhere, Somewhere]) -> None:
    """K08: and their rotation does not stop for it."""
    source, target = (each.open() for each in way)
    await lived_in(source)
    lacking, _ = promoted(await source.read())
    await source.replace(await source.read(), lacking)
    with pytest.raises(KeyringError, match="missing"):
        await move_keyring(source, target, "there")
    assert not (await source.read()).moved_to
    assert not await target.is_initialised()


async def test_a_rotation_during_the_move_is_not_lost(tmp_path: Path) -> None:
    """K07: the source is told first that it changes no more; whoever was faster is copied too."""

    class Contested(KeyFolder):
        rotated = False

        async def replace(self, old: Keyring, new: Keyring, made: PrivateKeys = PrivateKeys()) -> None:  # noqa: B008
            if new.moved_to and not self.rotated:
                self.rotated = True
                await rotate(KeyFolder(self.path))
                with pytest.raises(KeyringConflictError):
                    await super().replace(old, new, made)
                raise KeyringConflictError
            await super().replace(old, new, made)

    source, target = Contested(tmp_path / "a"), KeyFolder(tmp_path / "b")
    await begin(source)
    assert (await move_keyring(source, target, "there")).version == 3
    assert len((await load_keys(target)).published.kids) == 3
