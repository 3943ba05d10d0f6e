"""Backups by the database's own tools: what is in them, who can read them, and that a restore revives nothing (F25, K05)."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from engines import SqlServer, emptied, postgresql_tools, valkey_url
from installation import Installation, Replica

from identity.administration.backup import Backups, DatabaseTool
from identity.administration.errors import AdministrationError
from identity.administration.rehearsal import Rehearsed, Stage, rehearse
from identity.cli.backup import _fill, _look, _revision
from identity.feed.high_water import HighWater
from identity.feed.picture import Picture
from identity.feed.rules import Rule
from identity.keyring.folder import KeyFolder
from identity.keyring.live import load_keys
from identity.keyring.making import first_keyring
from identity.models import User
from identity.store.redis.connection import connect
from identity.store.redis.publications import RedisPublications
from identity.store.sql.dump import DumpError, dump, load, scratch
from identity.store.sql.migration import migrate
from identity.store.sql.revision import NEWEST_REVISION, tables_of
from identity.verifier.profile import RuleKind

ISSUER = "https://login.example.com"
PASSPHRASE = b"a passphrase"


@dataclass
class Site:
    """An installation, and what makes backups of it."""

    replica: Replica
    url: str
    keys: KeyFolder

    @property
    def backups(self) -> Backups:
        database, url = self.replica.database, self.url
        tool = DatabaseTool(
            engine=url.partition("+")[0],
            dump=partial(dump, url),
            load=partial(load, url),
            revision=partial(_revision, database),
            migrate=partial(migrate, database),
        )
        mark = HighWater(self.keys.path / ".high-water")
        publications = RedisPublications(self.replica.redis)
        stores = (self.replica.ledger, self.replica.journal, self.replica.stream, publications)
        return Backups(ISSUER, tool, self.keys, *stores, mark, "cli:test")

    async def add(self, *subjects: str) -> None:
        async with self.replica.database.transaction() as session:
            session.add_all(User(subject=each, username=each, username_key=each) for each in subjects)

    async def people(self) -> int:
        return int((await _look(self.url)).people)

    async def rehearse(self, folder: Path, passphrase: bytes | None = PASSPHRASE) -> Rehearsed:
        return await rehearse(folder, passphrase, self.keys, Stage(partial(scratch, self.url), _fill, _look))


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    """Encrypted keys, made once."""
    folder = KeyFolder(tmp_path_factory.mktemp("backup") / "keys", PASSPHRASE)
    asyncio.run(folder.create(*first_keyring(2048, int(time.time()))))
    return folder


@pytest.fixture
async def site(installation: Installation, pattern: KeyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An installation on each pair of engines, with one person."""
    monkeypatch.setenv("PATH", f"{postgresql_tools()}{os.pathsep}{os.environ['PATH']}")
    keys = KeyFolder(tmp_path / "keys", PASSPHRASE)
    await pattern.copy_to(keys)
    made = Site(installation.replica(), installation.url, keys)
    await made.add("alice")
    return made


@pytest.fixture
async def empty_site(
    site: Site, installation: Installation, tmp_path: Path
) -> AsyncIterator[Callable[[], Awaitable[Site]]]:
    """Makes places to restore to: an empty database, an empty Redis, no keys."""
    opened: list[Installation] = []

    async def make() -> Site:
        url = SqlServer(installation.sql.name, tmp_path).url()
        redis = await emptied(connect(valkey_url() if installation.is_real else "fakeredis://"))
        opened.append(Installation(installation.sql, url, redis, installation.is_real))
        return Site(opened[-1].replica(), url, KeyFolder(tmp_path / f"keys{len(opened)}", PASSPHRASE))

    yield make
    for each in opened:
        await each.close()


async def test_a_backup_holds_database_and_keys_and_is_nobody_elses(site: Site, tmp_path: Path) -> None:
    """K05: 0700 and 0600, whatever the umask; the keys as they are at rest."""
    await site.replica.end("grant")
    before = os.umask(0)
    try:
        manifest = await site.backups.make(tmp_path / "backup", with_keys=True)
    finally:
        os.umask(before)
    assert (manifest.issuer, manifest.revision, manifest.seq, manifest.keys) == (ISSUER, NEWEST_REVISION, 1, True)
    paths = [tmp_path / "backup", *(tmp_path / "backup").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    pems = list((tmp_path / "backup" / "keys").glob("*.pem"))
    assert len(pems) == 3
    assert all(b"ENCRYPTED" in path.read_bytes() for path in pems)
    with pytest.raises(AdministrationError, match="exists already"):
        await site.backups.make(tmp_path / "backup", with_keys=True)


async def test_keys_in_the_clear_never_enter_a_backup(site: Site, tmp_path: Path) -> None:
    """K05: refused before anything is written, unless the keys are left out."""
    site.keys = KeyFolder(tmp_path / "clear")
    await site.keys.create(*first_keyring(2048, int(time.time())))
    with pytest.raises(AdministrationError, match="unencrypted"):
        await site.backups.make(tmp_path / "backup", with_keys=True)
    assert not (tmp_path / "backup").exists()
    manifest = await site.backups.make(tmp_path / "backup", with_keys=False)
    assert not manifest.keys
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == ["database", "manifest.json"]


async def test_what_was_backed_up_comes_back_and_what_was_issued_is_refused(
    site: Site, empty_site: Callable[[], Awaitable[Site]], tmp_path: Path
) -> None:
    """F25: people and keys are there; a token of any revision that was ever given is older than the rule about all."""
    keyring = await site.keys.read()
    await site.replica.end("before")
    await site.backups.make(tmp_path / "backup", with_keys=True)
    await site.add("bob")
    await site.replica.end("after")
    reached = await site.replica.journal.head()
    other = await empty_site()
    _, restored, takes_keys = await other.backups.restore(tmp_path / "backup")
    assert takes_keys
    assert (await load_keys(other.keys)).keyring == keyring
    assert await other.people() == 1
    head, rules = await other.replica.journal.after(0)
    picture = Picture.of(head, rules)
    assert restored.goes_on_at == head.seq
    assert head.epoch != reached.epoch
    assert picture.has_ended("any", "any", "any", reached.seq)
    assert picture.has_ended("any", "any", "any", reached.seq + 2**29)
    assert await other.replica.journal.has_ended("before")
    assert await other.replica.agrees()


async def test_a_backup_that_is_restored_twice_repeats_no_number(
    site: Site, empty_site: Callable[[], Awaitable[Site]], tmp_path: Path
) -> None:
    """F25: the second time nothing is left that remembers the first; its tokens carry numbers far above the backup's."""
    await site.backups.make(tmp_path / "backup", with_keys=True)
    heads = []
    for _ in range(2):
        other = await empty_site()
        await other.backups.restore(tmp_path / "backup")
        await other.replica.end(*(f"grant-{number}" for number in range(20)))
        heads.append((await other.replica.journal.head()).seq)
        _, (everything, *_) = await other.replica.journal.after(0)
        assert everything.kind == RuleKind.EVERYTHING
        assert all(everything.seq > earlier for earlier in heads[:-1])


async def test_keys_that_are_there_are_not_replaced_by_older_ones(
    site: Site, empty_site: Callable[[], Awaitable[Site]], tmp_path: Path
) -> None:
    """K06: one of the backup's may have been stolen and withdrawn since."""
    await site.backups.make(tmp_path / "backup", with_keys=True)
    other = await empty_site()
    keyring, private = first_keyring(2048, int(time.time()))
    await other.keys.create(keyring, private)
    *_, takes_keys = await other.backups.restore(tmp_path / "backup")
    assert not takes_keys
    assert await other.keys.read() == keyring


async def test_nothing_is_restored_where_it_would_do_harm(
    site: Site, empty_site: Callable[[], Awaitable[Site]], tmp_path: Path
) -> None:
    """F25: not over a living database, not beside living servers, not from what is no backup, and not without keys."""
    folder = tmp_path / "backup"
    await site.backups.make(folder, with_keys=False)
    with pytest.raises(AdministrationError, match="not empty"):
        await site.backups.restore(folder)
    other = await empty_site()
    with pytest.raises(AdministrationError, match="no keys"):
        await other.backups.restore(folder)
    await other.keys.create(*first_keyring(2048, int(time.time())))
    await RedisPublications(other.replica.redis).report(("k1",), ())
    with pytest.raises(AdministrationError, match="servers are running"):
        await other.backups.restore(folder)
    for spoil, told in (
        ({"issuer": "https://other.example"}, "not of"),
        ({"engine": "oracle"}, "oracle"),
        ({"format": 2}, "another version"),
        ({"unknown": 1}, "damaged"),
    ):
        manifest = json.loads((folder / "manifest.json").read_text())
        (tmp_path / "spoiled").mkdir(exist_ok=True)
        (tmp_path / "spoiled" / "manifest.json").write_text(json.dumps({**manifest, **spoil}))
        with pytest.raises(AdministrationError, match=told):
            await other.backups.restore(tmp_path / "spoiled")
    with pytest.raises(AdministrationError, match="no finished backup"):
        await other.backups.restore(tmp_path)
    assert (await tables_of(other.replica.database)).revision is None


async def test_a_rehearsal_tells_what_would_come_back_and_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    """F25: and touches nothing of the installation."""
    await site.replica.revoke(Rule.ending(RuleKind.SUBJECT, "alice"))
    await site.backups.make(tmp_path / "backup", with_keys=True)
    head = await site.replica.journal.head()
    await site.add("bob")
    done = await site.rehearse(tmp_path / "backup")
    assert (done.contents.people, done.contents.seq) == (1, 1)
    assert done.signing_key == (await site.keys.read()).current.kid
    assert await site.people() == 2
    assert await site.replica.journal.head() == await site.replica.stream.head() == head
    with pytest.raises(Exception, match="passphrase is wrong"):
        await site.rehearse(tmp_path / "backup", b"another")
    dumped = tmp_path / "backup" / "database"
    dumped.write_bytes(dumped.read_bytes()[: dumped.stat().st_size // 2])
    with pytest.raises(DumpError):
        await site.rehearse(tmp_path / "backup")


async def test_a_missing_tool_is_one_clear_sentence(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25: PostgreSQL only; SQLite brings its own."""
    monkeypatch.setenv("PATH", str(tmp_path))
    making = site.backups.make(tmp_path / "backup", with_keys=True)
    if site.url.startswith("sqlite"):
        assert (await making).engine == "sqlite"
        return
    with pytest.raises(DumpError, match=r"pg_dump is not installed.*postgresql-client"):
        await making


async def test_the_password_of_the_database_is_in_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A64: every user of a machine can read those."""
    tool = tmp_path / "pg_dump"
    tool.write_text('#!/bin/sh\necho "$@" > "$OUT"\necho "$PGPASSWORD $PGHOST $PGPORT $PGUSER $PGDATABASE" >> "$OUT"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    url = "postgresql+psycopg://me:s3cret@db.example:5433/identity"
    await asyncio.to_thread(dump, url, tmp_path / "target")
    arguments, environment = (tmp_path / "out").read_text().splitlines()
    assert "s3cret" not in arguments
    assert environment == "s3cret db.example 5433 me identity"
