"""A running server's keys: reloaded when the folder changes, and the last good version when it turns bad (K07, K08)."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import pytest

import identity.keyring.live as live_keys
from identity.keyring.folder import KeyFolder
from identity.keyring.live import LiveKeys, load_keys
from identity.keyring.states import Keyring, KeyringError, KeyState
from identity.tokens.access_token import AccessTokenGrant, AccessTokenMint
from identity.tokens.refresh_token import Generation, new_family, read_token, write_token

LONG = 10**6
PROMISED_SECONDS = 5


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks ten times as often, so that these tests take a tenth of the time."""
    monkeypatch.setattr(live_keys, "RELOAD_SECONDS", live_keys.RELOAD_SECONDS / 10)


def test_running_servers_look_more_often_than_promised() -> None:
    """K07"""
    assert live_keys.RELOAD_SECONDS < PROMISED_SECONDS / 2


class Published:
    """What a process says it publishes."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, ...]] = []
        self.left = False

    async def report(self, kids: tuple[str, ...]) -> None:
        self.reports.append(kids)

    async def leave(self) -> None:
        self.left = True

    async def servers(self) -> dict[str, dict[str, float]]:
        return {}


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    made = KeyFolder(tmp_path / "keys")
    made.initialise(2048, int(time.time()))
    return made


def rotate(folder: KeyFolder, now: int | None = None) -> Keyring:
    old, now = folder.read(), now or int(time.time())
    rotated = old.promoted(folder.new_signing_key(2048, KeyState.NEXT, now), now)
    folder.replace(old, rotated)
    return rotated


@asynccontextmanager
async def watching(folder: KeyFolder, keep_seconds: float = LONG) -> AsyncIterator[tuple[LiveKeys, Published]]:
    live, published = LiveKeys(folder), Published()
    task = asyncio.create_task(live.watch(published, keep_seconds))
    try:
        yield live, published
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert published.left


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PROMISED_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_a_folder_without_a_keyring_is_refused_and_left_empty(tmp_path: Path) -> None:
    """K08"""
    with pytest.raises(KeyringError, match="identity keys init"):
        LiveKeys(KeyFolder(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_signs_is_published_in_every_version(folder: KeyFolder) -> None:
    """K07: no replica signs with an unpublished key."""
    for _ in range(3):
        loaded = load_keys(folder)
        assert loaded.signer.kid in loaded.published.kids
        assert set(loaded.public_keys) == set(loaded.published.kids)
        rotate(folder)


async def test_a_rotation_is_in_force_within_the_promised_time(folder: KeyFolder) -> None:
    """K07: what signs and what is published change together."""
    async with watching(folder) as (live, published):
        told: list[int] = []
        live.on_change = lambda: told.append(live.now.keyring.version)
        rotated = rotate(folder)
        await until(lambda: live.now.keyring.version == 2)
        assert live.now.signer.kid == rotated.current.kid
        assert live.now.published.kids == tuple(record.kid for record in rotated.published)
        assert told == [2]
        await until(lambda: published.reports[-1] == live.now.published.kids)


async def test_a_token_minted_after_a_rotation_names_the_new_key(folder: KeyFolder) -> None:
    """K02, hydra PR 3942: a session that began before the rotation is signed by what signs now."""
    mint = AccessTokenMint("https://id.example.com", 600)
    grant = AccessTokenGrant("s", "c", "https://r", "at+jwt", ("a",), 0)
    async with watching(folder) as (live, _):
        for _ in range(2):
            token = mint.mint(live.now.signer, grant, int(time.time()))
            kid = jwt.get_unverified_header(token)["kid"]
            assert kid == live.now.keyring.current.kid
            jwt.decode(token, live.now.public_keys[kid], algorithms=["RS256"], audience="https://r")
            version = live.now.keyring.version
            rotate(folder)
            await until(lambda: live.now.keyring.version > version)  # noqa: B023


@pytest.mark.parametrize("damage", ["states", "missing states", "next key", "open to others", "not a key"])
async def test_a_folder_that_turns_bad_leaves_the_last_good_version_in_force(folder: KeyFolder, damage: str) -> None:
    """K08, F18: and a repaired one is taken up again."""
    states = folder.path / "keyring.json"
    async with watching(folder) as (live, published):
        good = live.now
        rotated = rotate_badly(folder, damage)
        seen = len(published.reports)
        await until(lambda: len(published.reports) > seen + 2)
        assert live.now is good
        repair(folder, rotated, states)
        await until(lambda: live.now.keyring.version == rotated.version)


def rotate_badly(folder: KeyFolder, damage: str) -> Keyring:
    """Makes a new version that is already bad when it appears."""
    shadow = KeyFolder(folder.path.parent / "shadow")
    os.system(f"cp -a {folder.path} {shadow.path}")
    rotated = rotate(shadow)
    (folder.path.parent / "good").mkdir()
    os.system(f"cp -a {shadow.path}/. {folder.path.parent}/good/")
    states, following = shadow.path / "keyring.json", shadow.path / f"{rotated.next.kid}.pem"
    if damage == "states":
        states.write_bytes(states.read_bytes()[:100])
    elif damage == "missing states":
        states.unlink()
        (folder.path / "keyring.json").unlink()
    elif damage == "next key":
        following.unlink()
    elif damage == "open to others":
        following.chmod(0o644)
    else:
        following.write_bytes(b"-----BEGIN PRIVATE KEY-----\nMBACAQAwBwYFKgMEBQYEAgUA\n-----END PRIVATE KEY-----\n")
    for path in sorted(shadow.path.iterdir(), key=lambda path: path.name == "keyring.json"):
        path.replace(folder.path / path.name)
    return rotated


def repair(folder: KeyFolder, rotated: Keyring, states: Path) -> None:
    good = folder.path.parent / "good"
    for path in sorted(good.iterdir(), key=lambda path: path.name == "keyring.json"):
        path.replace(folder.path / path.name)
    assert states.exists()
    assert folder.read() == rotated


async def test_a_server_retires_a_previous_key_when_no_token_of_it_is_alive(folder: KeyFolder) -> None:
    """K01: not before."""
    first = folder.read().current.kid
    rotate(folder, int(time.time()) - 100)
    async with watching(folder, keep_seconds=1000) as (live, published):
        await until(lambda: len(published.reports) > 1)
        assert first in live.now.published.kids
    async with watching(folder, keep_seconds=50) as (live, _):
        await until(lambda: first not in live.now.published.kids)
    assert not (folder.path / f"{first}.pem").exists()


def test_refresh_tokens_of_an_older_key_still_read_after_a_rotation(folder: KeyFolder) -> None:
    """A45: rotating the refresh key logs nobody out, and a family keeps its key for life."""
    before = load_keys(folder)
    old = Generation(new_family(before.authenticator), 7)
    token = write_token(before.authenticator, old)
    keyring, now = folder.read(), int(time.time())
    folder.replace(keyring, keyring.with_refresh_key(folder.new_refresh_key(now), now - LONG))
    after = load_keys(folder, before)
    assert read_token(after.authenticator, token) == old
    assert write_token(after.authenticator, old) == token
    assert new_family(after.authenticator)[:4] != old.family[:4]
    later = folder.read()
    folder.replace(later, later.with_refresh_key(folder.new_refresh_key(now), now + LONG))
    assert read_token(load_keys(folder).authenticator, token) is None
