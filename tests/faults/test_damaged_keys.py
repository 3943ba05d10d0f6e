"""F18: keys are damaged, replicas restarted one by one: the one that starts refuses, the one that runs goes on (K07, K08)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import jwt
import pytest
from crowd import Crowd, Mix
from history import Fault, History
from invariants import Promises
from key_damage import MASTER_KEY, Folder, Rows
from laboratory import CLIENT, ORDERS, PASSWORD, PEOPLE, Installation, installation
from replicas import Replica
from wire import Wire

from identity.administration.key_move import move_keyring
from identity.installed_keys import key_folder, sql_keys
from identity.wiring.parts import signing_keys

MOST_ROTATIONS = 10
"""A replaced key stays published for longer than the experiment runs, and no more than 16 are."""

GATE_SECONDS = 60
"""By the gate: one who forces a rotation has tokens refused at services that could not fetch the keys meanwhile."""

SHORT_GATE = {"IDENTITY_JWKS_MAX_AGE": "1", "IDENTITY_VERIFIER_COOLDOWN": "1"}
IN_DATABASE = {"IDENTITY_KEYS_IN": "database", "IDENTITY_MASTER_KEY": MASTER_KEY}


@dataclass
class Watch:
    """Has tokens minted at every server, and looks for the key of each in what the living servers publish at that moment."""

    lab: Installation
    looked: Counter[str] = field(default_factory=Counter)
    kids: set[str] = field(default_factory=set)
    unpublished: list[str] = field(default_factory=list)

    async def work(self, server: Replica) -> None:
        """One server's tokens, until cancelled; while it does not run, nobody gets any."""
        login = {"username": PEOPLE[0], "password": PASSWORD, "scope": "orders:read", "client_id": CLIENT}
        wires = {each.url: Wire(each.url) for each in self.lab.replicas}
        try:
            while True:
                with suppress(OSError, asyncio.IncompleteReadError):
                    answer = await wires[server.url].form("/token", grant_type="password", **login)
                    if answer.status == 200:
                        for url, wire in wires.items():
                            await self._look(answer.json()["access_token"], url, wire)
                await asyncio.sleep(0.1)
        finally:
            for wire in wires.values():
                await wire.close()

    async def _look(self, token: str, url: str, wire: Wire) -> None:
        try:
            published = jwt.PyJWKSet.from_dict((await wire.get("/.well-known/jwks.json")).json())
        except (OSError, asyncio.IncompleteReadError):
            return  # It is not there to be asked.
        kid = jwt.get_unverified_header(token)["kid"]
        self.kids.add(kid)
        self.looked[url] += 1
        try:
            jwt.decode(token, published[kid], ["RS256"], audience=ORDERS, issuer=self.lab.issuer)
        except (KeyError, jwt.InvalidTokenError) as error:
            self.unpublished.append(f"{kid} at {url}: {error}")


@asynccontextmanager
async def watching(lab: Installation):
    watch = Watch(lab)
    tasks = [asyncio.create_task(watch.work(each)) for each in lab.replicas]
    yield watch
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def refuses(replica: Replica, says: str, settings: dict[str, str]) -> None:
    """A start that must fail, with one sentence and nothing else."""
    known = replica.log.stat().st_size
    await replica.launch(**settings)
    await replica.wait()
    told = replica.log.read_bytes()[known:].decode().strip().splitlines()
    sentences = [line for line in told if not line.startswith("{")]
    assert len(sentences) == 1, told
    assert says in sentences[0]
    assert sentences[0].startswith("identity: ")
    assert sentences[0].endswith(".") or says.startswith("IDENTITY_MASTER_KEY")


@pytest.mark.parametrize("where", ["folder", "database"])
async def test_damaged_keys_stop_a_server_that_starts_and_none_that_runs(
    experiment, tmp_path, made_keys, choice, where: str
) -> None:
    """F18, K07, K08: no token is ever signed with a key that is not published everywhere, whatever became of the keys."""
    f18 = experiment(f"F18 {where}", f"keys in the {where} damaged")
    settings = SHORT_GATE | (IN_DATABASE if where == "database" else {})
    async with installation(tmp_path, made_keys, settings=settings, start=False) as lab:
        place = await prepared(lab, where)
        damages = place.damages()
        rounds, found = f18.rounds(short=3, long=4 * len(damages), at_once=len(damages)), History()
        await asyncio.gather(*(each.start() for each in lab.replicas))
        servers, verifiers = [each.url for each in lab.replicas], await lab.verifiers(2)
        crowd = Crowd(
            found, servers, verifiers, choice, mix=Mix(verify=1.0, pause=0.02), window=10, credential=lab.credential
        )
        async with watching(lab) as watch, crowd:
            for number in range(rounds):
                restarted, running = choice.sample(lab.replicas, 2)
                damage, began = damages[number % len(damages)], time.monotonic()
                if damage.do is not None:
                    await damage.do()
                await restarted.stop()
                await refuses(restarted, damage.says, dict(damage.settings))
                assert running.is_alive
                assert await running.is_ready()
                await place.repair()
                await restarted.start()
                assert restarted.is_alive, damage.name
                found.faults.append(Fault(f"{damage.name} at {restarted.url}", began, time.monotonic(), cuts=True))
                if number % 3 == 0 and number < 3 * MOST_ROTATIONS:
                    await signing_keys(lab.settings, lab.stores).rotate_when_ready(lambda _: None, GATE_SECONDS)
                    await place.keep()
                await well_again(crowd)
            await crowd.finish()
    looked = sum(watch.looked.values())
    note = f"{looked} looks for a token's key, {len(watch.kids)} keys signed, {len(watch.unpublished)} not published"
    assert not f18.report(found, rounds, Promises(window=10), note)
    assert watch.unpublished == []
    assert len(watch.looked) == len(servers)
    assert len(watch.kids) > 1


async def well_again(crowd: Crowd) -> None:
    """A while in which nothing is broken."""
    since = time.monotonic()
    await crowd.until(lambda: time.monotonic() > since + 0.5)


async def prepared(lab: Installation, where: str) -> Folder | Rows:
    """The keys, where they belong, and what damages them."""
    place: Folder | Rows = Folder(lab.settings.keys_dir)
    if where == "database":
        await move_keyring(key_folder(lab.settings), sql_keys(lab.settings, lab.stores.database), "database")
        place = Rows(lab.stores.database, lab.folder / "other-keys")
    await place.prepare()
    return place
