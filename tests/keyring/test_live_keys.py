"""A running server's keys: reloaded when they change, and the last good version when their place turns bad (K07, K08)."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import jwt
import pytest
from engines import SqlServer
from key_places import MASTER, begin, rotate, rotate_refresh_key, withdraw
from structlog.testing import capture_logs

import identity.keyring.live as live_keys
from identity.keyring.document import read_keyring
from identity.keyring.folder import KeyFolder
from identity.keyring.live import LiveKeys, load_keys
from identity.keyring.place import KeyPlace, KeyPlaceAwayError
from identity.keyring.publication import Publication
from identity.keyring.states import Keyring, KeyringError
from identity.store.sql.engine import Database
from identity.store.sql.keys import SqlKeys
from identity.tokens.access_token import AccessTokenGrant, AccessTokenMint
from identity.tokens.refresh_token import Generation, new_family, read_token, write_token

LONG = 10**6
PROMISED_SECONDS = 5
SILENCE_SECONDS = 20
"""A pooler in front of a database that is away says nothing for a while."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks ten times as often, so that these tests take a tenth of the time."""
    monkeypatch.setattr(live_keys, "RELOAD_SECONDS", live_keys.RELOAD_SECONDS / 10)


def test_running_servers_look_more_often_than_promised() -> None:
    """K07"""
    assert live_keys.RELOAD_SECONDS < PROMISED_SECONDS / 2


class Published:
    """What a process says it publishes, and what others do."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, ...]] = []
        self.withdrawn_kids: tuple[str, ...] = ()
        self.others: list[Publication] = []
        self.left = False

    async def report(self, kids: tuple[str, ...], withdrawn: tuple[str, ...]) -> list[Publication]:
        self.reports.append(kids)
        self.withdrawn_kids = withdrawn
        return [each for each in self.others if each.kid not in kids]

    async def leave(self) -> None:
        self.left = True

    async def servers(self) -> dict[str, dict[str, float]]:
        return {}

    async def remember_withdrawn(self, kids: tuple[str, ...]) -> None: ...

    async def withdrawn(self) -> set[str]:
        return set()


@asynccontextmanager
async def watching(
    place: KeyPlace, keep_seconds: float = LONG, remember_seconds: float = LONG
) -> AsyncIterator[tuple[LiveKeys, Published]]:
    live, published = LiveKeys(place), Published()
    await live.start()
    task = asyncio.create_task(live.watch(published, keep_seconds, remember_seconds))
    try:
        yield live, published
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert published.left


async def until(condition: Callable[[], object], seconds: float = PROMISED_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@contextmanager
def logged_once(problem: str):
    """Sees that a lasting problem is told of once, not every second."""
    with capture_logs() as logs:
        yield logs
    told = [each for each in logs if each["event"] == "keyring kept at its last good version"]
    assert len(told) == 1, told
    assert problem in told[0]["problem"]


async def test_what_signs_is_published_in_every_version(place: KeyPlace) -> None:
    """K07: no replica signs with an unpublished key."""
    for _ in range(3):
        loaded = await load_keys(place)
        assert loaded.signer.kid in loaded.published.kids
        assert set(loaded.public_keys) == set(loaded.published.kids)
        await rotate(place)


async def test_a_rotation_is_in_force_within_the_promised_time(place: KeyPlace) -> None:
    """K07: what signs and what is published change together."""
    async with watching(place) as (live, published):
        told: list[int] = []
        live.on_change = lambda: told.append(live.now.keyring.version)
        rotated = await rotate(place, int(time.time()))
        await until(lambda: live.now.keyring.version == 2)
        assert live.now.signer.kid == rotated.current.kid
        assert live.now.published.kids == tuple(record.kid for record in rotated.published)
        assert told == [2]
        await until(lambda: published.reports[-1] == live.now.published.kids)


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long")
async def test_a_token_minted_after_a_rotation_names_the_new_key(place: KeyPlace) -> None:
    """K02, hydra PR 3942: a session that began before the rotation is signed by what signs now."""
    mint = AccessTokenMint("https://id.example.com", 600)
    grant = AccessTokenGrant("s", "c", "https://r", "at+jwt", ("a",), 0)
    async with watching(place) as (live, _):
        for _ in range(2):
            token = mint.mint(live.now.signer, grant, int(time.time()))
            kid = jwt.get_unverified_header(token)["kid"]
            assert kid == live.now.keyring.current.kid
            key = live.now.public_keys[kid]
            jwt.decode(token, key, ["RS256"], audience="https://r")
            version = live.now.keyring.version
            await rotate(place, int(time.time()))
            await until(lambda: live.now.keyring.version > version)  # noqa: B023


async def test_a_server_retires_a_previous_key_when_no_token_of_it_is_alive(place: KeyPlace) -> None:
    """K01: not before."""
    first = (await place.read()).current
    await rotate(place, int(time.time()) - 100)
    async with watching(place, keep_seconds=1000) as (live, published):
        await until(lambda: len(published.reports) > 1)
        assert first.kid in live.now.published.kids
    async with watching(place, keep_seconds=50) as (live, _):
        await until(lambda: first.kid not in live.now.published.kids)
    with pytest.raises(KeyringError, match="missing"):
        await place.load_signing_key(first)


async def test_a_retired_key_is_forgotten_when_no_session_of_its_time_is_alive(place: KeyPlace) -> None:
    """A withdrawn one never is: it must not come back."""
    first, second, *_ = (record.kid for record in (await place.read()).signing)
    for _ in range(2):
        await rotate(place, int(time.time()) - 100)
    await withdraw(place, second)
    async with watching(place, keep_seconds=50, remember_seconds=1000) as (live, _):
        await until(lambda: first not in live.now.published.kids)
        assert first in {record.kid for record in live.now.keyring.signing}
    async with watching(place, keep_seconds=50, remember_seconds=60) as (live, _):
        await until(lambda: first not in {record.kid for record in live.now.keyring.signing})
        assert live.now.keyring.withdrawn_kids == (second,)


async def test_refresh_tokens_of_an_older_key_still_read_after_a_rotation(place: KeyPlace) -> None:
    """A45: rotating the refresh key logs nobody out, and a family keeps its key for life."""
    before = await load_keys(place)
    old = Generation(new_family(before.authenticator), 7)
    token = write_token(before.authenticator, old)
    await rotate_refresh_key(place)
    after = await load_keys(place, before)
    assert read_token(after.authenticator, token) == old
    assert write_token(after.authenticator, old) == token
    assert new_family(after.authenticator)[:4] != old.family[:4]
    await rotate_refresh_key(place, oldest=2 * 10**9)
    assert read_token((await load_keys(place)).authenticator, token) is None


async def test_other_servers_hear_which_keys_are_withdrawn(place: KeyPlace) -> None:
    """K06: Redis remembers it for a database that is restored to what it was before."""
    stolen = (await place.read()).current.kid
    await rotate(place, int(time.time()))
    async with watching(place) as (_, published):
        await withdraw(place, stolen)
        await until(lambda: published.withdrawn_kids == (stolen,))


async def test_a_server_whose_keyring_lacks_a_key_of_another_server_leaves_readiness(place: KeyPlace) -> None:
    """K07: two folders behind one address. It returns when the two agree."""
    async with watching(place) as (live, published):
        published.others = [Publication("host-1", "their-next-key", 4.0)]
        await until(lambda: len(published.reports) > 3)
        assert live.problem == "", "a server may take five seconds to notice a change"
        published.others = [Publication("host-1", "their-next-key", 6.0)]
        await until(lambda: "host-1" in live.problem and "their-next-key" in live.problem)
        published.others = []
        await until(lambda: live.problem == "")


async def test_a_server_does_not_mind_another_that_is_behind(place: KeyPlace) -> None:
    """K07: that one leaves; a key that is retired here may still be published there."""
    first = (await place.read()).current.kid
    await rotate(place, int(time.time()) - 100)
    async with watching(place, keep_seconds=50) as (live, published):
        published.others = [Publication("host-1", first, 1000.0)]
        await until(lambda: first not in live.now.published.kids and len(published.reports) > 5)
        assert live.problem == ""


# What follows needs to get at a place behind its back.


@pytest.fixture
async def folder(tmp_path: Path) -> KeyFolder:
    made = KeyFolder(tmp_path / "keys")
    await begin(made)
    return made


@pytest.mark.parametrize("damage", ["states", "missing states", "next key", "open to others", "not a key"])
async def test_a_folder_that_turns_bad_leaves_the_last_good_version_in_force(folder: KeyFolder, damage: str) -> None:
    """K08, F18: and a repaired one is taken up again."""
    async with watching(folder) as (live, published):
        good = live.now
        with logged_once(""):
            rotated = await rotate_badly(folder, damage)
            seen = len(published.reports)
            await until(lambda: len(published.reports) > seen + 4)
        assert live.now is good
        put_in_place(folder, folder.path.parent / "good")
        await until(lambda: live.now.keyring == rotated)


async def rotate_badly(folder: KeyFolder, damage: str) -> Keyring:
    """Makes a new version that is already bad when it appears."""
    shadow = KeyFolder(folder.path.parent / "shadow")
    shutil.copytree(folder.path, shadow.path)
    rotated = await rotate(shadow)
    shutil.copytree(shadow.path, folder.path.parent / "good")
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
    put_in_place(folder, shadow.path)
    return rotated


def put_in_place(folder: KeyFolder, source: Path) -> None:
    """Moves the files of another folder into this one, the states last."""
    for path in sorted(source.iterdir(), key=lambda path: path.name == "keyring.json"):
        path.replace(folder.path / path.name)


async def test_an_older_folder_that_is_put_back_is_not_taken_up(folder: KeyFolder) -> None:
    """K08: it would revive what was withdrawn since."""
    backup = folder.path.parent / "backup"
    shutil.copytree(folder.path, backup)
    stolen = (await folder.read()).current.kid
    await rotate(folder, int(time.time()))
    await withdraw(folder, stolen)
    async with watching(folder) as (live, published):
        with logged_once("went back from version 3 to 1"):
            put_in_place(folder, backup)
            assert read_keyring((folder.path / "keyring.json").read_bytes()).current.kid == stolen
            seen = len(published.reports)
            await until(lambda: len(published.reports) > seen + 4)
        assert stolen not in live.now.published.kids


async def test_an_older_keyring_that_moved_on_by_itself_is_not_taken_up(folder: KeyFolder) -> None:
    """K08: its version is higher by now, and still it uses a key that was withdrawn."""
    backup = KeyFolder(folder.path.parent / "backup")
    shutil.copytree(folder.path, backup.path)
    stolen = (await folder.read()).current.kid
    await rotate(folder, int(time.time()))
    await withdraw(folder, stolen)
    for _ in range(4):
        await rotate(backup, int(time.time()))
    async with watching(folder) as (live, published):
        with logged_once("restore the newest one"):
            put_in_place(folder, backup.path)
            seen = len(published.reports)
            await until(lambda: len(published.reports) > seen + 4)
        assert stolen not in live.now.published.kids


async def rotate_when_back(place: KeyPlace) -> Keyring:
    async with asyncio.timeout(SILENCE_SECONDS):
        while True:
            try:
                return await rotate(place, int(time.time()))
            except KeyPlaceAwayError:
                await asyncio.sleep(0.1)


async def test_keys_stay_in_use_while_the_database_is_away(sql: SqlServer) -> None:
    """K08, F5: what verifies and publishes goes on; a change is taken up when the database is back."""
    url = await sql.migrated_url()
    database = Database(url)
    place = SqlKeys(database, MASTER)
    await begin(place)
    async with watching(place) as (live, published):
        good = live.now
        with logged_once("cannot be read") as logs:
            sql.take_away(url)
            await database.close()  # Connections that are open already would not notice.
            await until(lambda: logs, SILENCE_SECONDS)
            seen = len(published.reports)
            await until(lambda: len(published.reports) > seen + 4)
            assert live.now is good
        sql.bring_back(url)
        other = Database(url)
        rotated = await rotate_when_back(SqlKeys(other, MASTER))
        await until(lambda: live.now.keyring == rotated, SILENCE_SECONDS)
        await other.close()
    await database.close()
