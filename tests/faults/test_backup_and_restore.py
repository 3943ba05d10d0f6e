"""F25: a backup, then load with revocations, logouts, disabled people and new passwords; SQL is lost, in turn with Redis and
with all that remembers; restored, by the documented commands too. Nothing that was issued before is good again."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from crowd import Asker, Crowd, Held, Mix, show
from documented import Shell, commands_of
from engines import postgresql_tools, postgresql_uri
from history import Fault, History, Kind, Operation, Outcome
from invariants import Promises
from laboratory import CLIENT, PASSWORD, Installation, installation
from own_valkey import Snapshot
from served import is_served
from wire import Wire

from identity.keyring.folder import KeyFolder
from identity.keyring.making import first_keyring
from identity.store.sql.dump import dump, load
from identity.store.sql.journal import SqlJournal
from identity.verifier import Verifier

WINDOW, SCOPE = 2.0, "orders:read"
PROMISES = Promises(window=WINDOW)
PASSPHRASE = "a passphrase for backups"
DISABLED, RENEWED, LATE = "disabled", "renewed", "late"
"""Somebody who is disabled after the backup, somebody with a new password, and somebody who did not exist before."""

DOCUMENTED, DECLARED, SILENT, LIVING, SQL_ALONE = (
    "all lost",
    "Redis set back",
    "Redis lost, untold",
    "servers live",
    "SQL lost",
)


@dataclass(frozen=True)
class Backup:
    """What was kept, and what nobody lost: the snapshot of a Redis that is set back to the same moment."""

    dump: Path
    redis: Snapshot
    people: int


class Site:
    """The installation, with hands that lose and restore its stores."""

    def __init__(self, lab: Installation, found: History, shell: Shell, choice: random.Random) -> None:
        self.lab, self.found, self.shell = lab, found, shell
        self._asker = Asker(found, choice)
        self._url = lab.settings.database_url.get_secret_value()
        self.over: list[Held] = []

    async def back_up(self, folder: Path, is_documented: bool) -> Backup:
        """By the documented commands, or by another tool."""
        if is_documented:
            assert "Nothing of it was kept" in await self.command(commands_of("recovery.md")[0])
        await asyncio.to_thread(dump, self._url, folder / "dump")
        return Backup(folder / "dump", await self.lab.valkey.take_snapshot(), len(await self.lab.people.list()))

    async def go_on(self) -> None:
        """After the backup: one is disabled, one gets another password, and one arrives. Each had a session."""
        people = self.lab.people
        await people.create(LATE, PASSWORD, ["reader"])
        sessions = {name: await self.log_in(name) for name in (DISABLED, RENEWED, LATE)}
        for name, ending in (
            (DISABLED, people.disable),
            (RENEWED, partial(people.set_password, password="another one")),
        ):
            began = time.monotonic()
            await ending(name)
            self._over(sessions[name], began)

    async def log_in(self, person: str) -> Held:
        server = self.lab.replicas[0].url
        operation = await self._asker.log_in(server, f"of {person}", person)
        assert operation.outcome is Outcome.OK, operation
        return Held(f"of {person}", person, operation.received, self._asker.access)

    def _over(self, held: Held, began: float) -> None:
        self.found.add(Operation(Kind.END, held.name, "operator", began, time.monotonic(), Outcome.OK))
        self.over.append(held)

    def lose_sql(self) -> None:
        """And have an empty database in its place."""
        name = urlsplit(self._url).path.strip("/")
        with psycopg.connect(postgresql_uri(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template1")

    async def lose_redis(self) -> None:
        await self.lab.valkey.flush()

    async def set_redis_back(self, snapshot: Snapshot) -> None:
        self.lab.valkey.kill()
        await self.lab.valkey.put_back(snapshot)
        await self.lab.valkey.start()

    async def stop(self) -> None:
        await asyncio.gather(*(each.stop() for each in self.lab.replicas))

    async def start(self) -> None:
        await asyncio.gather(*(each.start() for each in self.lab.replicas))

    async def load(self, backup: Backup) -> None:
        """Restores by another tool, and says nothing of it."""
        await asyncio.to_thread(load, self._url, backup.dump)

    async def until_noticed(self) -> None:
        """Returns when a living server has begun a new epoch, and every one is ready with it."""
        async with asyncio.timeout(PROMISES.recovery):
            while (await SqlJournal(self.lab.stores.database).head()).seq < 2**30:
                await asyncio.sleep(0.01)
            while not all([await each.is_ready() for each in self.lab.replicas]):
                await asyncio.sleep(0.01)

    async def command(self, script: str) -> str:
        done = await self.shell.run(script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def may_log_in(self, person: str, password: str = PASSWORD) -> bool:
        """Whether they get a token; outside of the history, which knows one password only."""
        wire = Wire(self.lab.replicas[1].url)
        fields = {
            "grant_type": "password",
            "client_id": CLIENT,
            "username": person,
            "password": password,
            "scope": SCOPE,
        }
        answer = await wire.form("/token", **fields)
        await wire.close()
        assert answer.status == 200 or answer.json()["error"] == "invalid_grant", answer.body
        return answer.status == 200

    async def show(self, verifiers: list[Verifier], held: list[Held]) -> None:
        """Shows everything that is over once more, everywhere."""
        for each in held:
            for replica in self.lab.replicas:
                await self._asker.refresh(replica.url, each.name, each.token)
                await self._asker.introspect(replica.url, each.name, each.access, self.lab.credential)
            for verifier in verifiers:
                await show(verifier, each, self.found)

    async def close(self) -> None:
        await self._asker.close()


@asynccontextmanager
async def site(folder: Path, found: History, choice: random.Random) -> AsyncIterator[Site]:
    keys = KeyFolder(folder / "made", PASSPHRASE.encode())
    await keys.create(*first_keyring(2048, int(time.time())))
    settings = {"IDENTITY_KEYS_PASSPHRASE": PASSPHRASE, "IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
    async with installation(folder, keys.path, settings=settings) as lab:
        for name in (DISABLED, RENEWED):
            await lab.people.create(name, PASSWORD, ["reader"])
        made = Site(lab, found, Shell(folder, lab.environment, postgresql_tools()), choice)
        try:
            yield made
        finally:
            await made.close()


async def restore(lost: str, at: Site, backup: Backup) -> float:
    """Loses what is to be lost, and restores; returns the moment from which nothing issued before may be good."""
    if lost == LIVING:
        at.lose_sql()
        await at.lose_redis()
        await at.load(backup)
        await at.until_noticed()
        await asyncio.sleep(1.0)  # Every process compares the heads within that.
        return time.monotonic()
    await at.stop()
    at.lose_sql()
    if lost == DOCUMENTED:
        await at.lose_redis()
        shutil.rmtree(at.lab.folder / "keys")
        told = await at.command(commands_of("recovery.md")[1])
        assert "Keys are those of the backup" in told
    elif lost == SQL_ALONE:
        await at.load(backup)
    elif lost == DECLARED:
        await at.set_redis_back(backup.redis)
        await at.load(backup)
        (at.lab.folder / "keys" / ".high-water").unlink()
        await at.command("identity restored")
    else:
        await at.lose_redis()
        await at.load(backup)
    over_at = time.monotonic()
    await at.start()
    return over_at


@pytest.mark.parametrize("lost", [DOCUMENTED, SQL_ALONE, SILENT, DECLARED, LIVING])
async def test_nothing_revoked_or_issued_before_is_good_after_a_restore(
    experiment, tmp_path, choice, monkeypatch, lost
):
    """F25, I1-I7: at introspection, at a refresh, at a service that ran all the time and at one that starts afterwards; people
    and revocations of before the backup are there, and what came after it is gone."""
    monkeypatch.setenv("PATH", f"{postgresql_tools()}:{os.environ['PATH']}")
    f25 = experiment(f"F25 {lost}", "restored from a backup")
    rounds = f25.rounds(short=1, long=5)
    for number in range(rounds):
        found, folder = History(), tmp_path / str(number)
        folder.mkdir()
        async with site(folder, found, choice) as at:
            slowest = await one_round(lost, at, found, choice, seconds=60.0 if f25.is_long else 0.5)
        note = f"the last token of before was accepted {slowest:.2f} s after the servers were ready"
        assert not f25.report(found, 1, PROMISES, note)
        # A service comes back to an issuer that was away within 10 s; until then its own policy counts.
        assert slowest <= PROMISES.recovery


async def one_round(lost: str, at: Site, found: History, choice: random.Random, seconds: float) -> float:
    """Returns how long after the servers were ready a service still accepted what was issued before."""
    lab, servers = at.lab, [each.url for each in at.lab.replicas]
    verifiers, mix = await lab.verifiers(2), Mix(end=0.1, introspect=0.3, pause=0.02, patience=10.0)
    async with Crowd(found, servers, verifiers, choice, mix=mix, window=WINDOW, credential=lab.credential) as crowd:
        await crowd.until(lambda: len(crowd.ended) >= 2)
        backup = await at.back_up(lab.folder, is_documented=lost == DOCUMENTED)
        ended = len(crowd.ended)
        await at.go_on()
        await asyncio.sleep(seconds)
        await crowd.until(lambda: len(crowd.ended) >= ended + 4)
        began = time.monotonic()
        over_at = await restore(lost, at, backup)
        ready_at = time.monotonic()
        found.faults.append(Fault(f"{lost}, restored", began, ready_at, cuts=True))
        before = end_all(found, began, over_at)
        fresh = await lab.verifiers(1)
        await at.show(fresh, at.over + crowd.ended)
        at.over += [held for mine in crowd.held for held in mine if held.name in before]
        await crowd.until(lambda: all(is_served(found, server, ready_at) for server in servers))
        await crowd.finish()
    await at.show(fresh + verifiers, at.over)
    await require_loss_window(lost, at, backup)
    accepted = [each for each in found.of(Kind.VERIFY, outcome=Outcome.OK) if each.session in before]
    return max((each.began - ready_at for each in accepted), default=0.0)


def end_all(found: History, began: float, over_at: float) -> set[str]:
    """Everything that was issued before the loss is over when that is said of the restore; returns those sessions. What servers
    that live on issued until they noticed may be over or not."""
    logins = [each for each in found.of(Kind.LOGIN, outcome=Outcome.OK) if each.began <= over_at]
    for each in logins:
        since = max(began, each.began)
        found.add(Operation(Kind.END, each.session, "restore", since, since, Outcome.UNCLEAR))
        if each.ended <= began:
            found.add(Operation(Kind.END, each.session, "restore", over_at, over_at, Outcome.OK))
    return {each.session for each in logins if each.ended <= began}


async def require_loss_window(lost: str, at: Site, backup: Backup) -> None:
    """What was there at the backup is there, what came after it is gone, and who was ended since is as the documents say."""
    assert len(await at.lab.people.list()) == backup.people
    assert not await at.may_log_in(LATE)
    assert not await at.may_log_in(RENEWED, "another one")
    # A Redis that survived says that something of theirs was ended; else nobody knows, and they are as they were.
    assert [await at.may_log_in(name) for name in (DISABLED, RENEWED)] == [lost != SQL_ALONE] * 2
