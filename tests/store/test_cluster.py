"""What a cluster does that a single server does not: slots move, nodes are replaced, and each has a history of its own."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from engines import SqlServer, cluster, everywhere
from redis.crc import key_slot
from several_valkeys import Cluster, Move, Server, until

from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.feed.stores import StoreUnavailableError
from identity.store.redis.connection import RedisConnection, UnsuitableRedisError, connect, require_suitable
from identity.store.redis.families import RedisFamilies
from identity.store.redis.feed import RedisStream
from identity.store.redis.keys import family_key
from identity.store.sql.change import SqlChange, changes
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.tokens.refresh_token import Family, Generation, Step
from identity.verifier.profile import RuleKind

HORIZON, KEPT = 930, 30 * 86_400
KID = "a-key"


@pytest.fixture
async def shared() -> AsyncIterator[RedisConnection]:
    connection = connect(cluster().url)
    await everywhere(connection, "FLUSHALL")
    yield connection
    await connection.close()


def move_of(key: str, source: int, target: int) -> Move:
    """The way of a key's slot."""
    return Move(cluster(), key_slot(key.encode()), cluster().servers[source], cluster().servers[target])


def home_of(made: Cluster, key: str) -> int:
    """Which primary has the key's slot, as it was at the beginning."""
    return min(key_slot(key.encode()) // (16384 // made.primaries), made.primaries - 1)


async def test_a_key_is_found_before_while_and_after_its_slot_moves(shared: RedisConnection) -> None:
    """F04: ASK while it is on its way, MOVED afterwards; and back again, so that others find the cluster as it was."""
    source = home_of(cluster(), "{moving}")
    target = (source + 1) % 3
    await shared.execute("SET", "{moving}1", "one")
    await shared.execute("SET", "{moving}2", "two")
    for start, end in ((source, target), (target, source)):
        move = move_of("{moving}", start, end)
        move.begin()
        move.carry("{moving}1")
        answers = await asyncio.gather(*(shared.execute("GET", f"{{moving}}{number}") for number in (1, 2, 3) * 10))
        assert answers == ["one", "two", None] * 10
        assert await shared.execute("SET", "{moving}4", "new") == "OK"
        move.carry("{moving}2", "{moving}4")
        move.end()
        assert [await shared.execute("GET", f"{{moving}}{number}") for number in (1, 2, 4)] == ["one", "two", "new"]


async def test_keys_on_both_sides_of_a_move_are_waited_for(shared: RedisConnection) -> None:
    """F04: TRYAGAIN ends when the rest has moved."""
    source = home_of(cluster(), "{parted}")
    target = (source + 1) % 3
    await shared.execute("MSET", "{parted}1", "one", "{parted}2", "two")
    there, back = (move_of("{parted}", *way) for way in ((source, target), (target, source)))
    there.begin()
    there.carry("{parted}1")
    asking = asyncio.create_task(shared.execute("MGET", "{parted}1", "{parted}2"))
    await asyncio.sleep(0.1)
    assert not asking.done()
    there.carry("{parted}2")
    assert await asking == ["one", "two"]
    there.end()
    back.begin()
    back.carry("{parted}1", "{parted}2")
    back.end()


async def test_a_move_that_does_not_end_is_unavailable_within_a_bound(shared: RedisConnection) -> None:
    """I5"""
    source = home_of(cluster(), "{stuck}")
    target = (source + 1) % 3
    await shared.execute("MSET", "{stuck}1", "one", "{stuck}2", "two")
    there = move_of("{stuck}", source, target)
    there.begin()
    there.carry("{stuck}1")
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        await shared.execute("MGET", "{stuck}1", "{stuck}2")
    assert time.monotonic() - started < 3
    there.carry("{stuck}2")
    there.end()
    back = move_of("{stuck}", target, source)
    back.begin()
    back.carry("{stuck}1", "{stuck}2")
    back.end()


async def test_a_step_of_a_session_survives_the_move_of_its_slot(shared: RedisConnection) -> None:
    """I1, F04: the script is unknown to the node it is asked of, and the family takes each step once."""
    store, family = RedisFamilies(shared, 86_400, 0), some_family("moved-family")
    await store.begin(family, KID)
    source = home_of(cluster(), family_key(family.family))
    number = 0
    for start, end in ((source, (source + 1) % 3), ((source + 1) % 3, source)):
        move = move_of(family_key(family.family), start, end)
        for step in (move.begin, lambda move=move: move.carry(family_key(family.family)), move.end):
            step()
            assert await store.step(Generation(family.family, number), True, KID) is Step.ADVANCED
            number += 1


async def test_every_node_is_looked_at_before_the_server_starts(shared: RedisConnection) -> None:
    """One that evicts is enough."""
    await require_suitable(shared)
    cluster().servers[2].say("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(UnsuitableRedisError, match="allkeys-lru"):
        await require_suitable(shared)
    cluster().servers[2].say("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_a_cluster_behind_the_address_of_a_server_is_refused() -> None:
    """Most keys would be elsewhere."""
    connection = connect(f"redis://127.0.0.1:{cluster().servers[0].port}")
    with pytest.raises(UnsuitableRedisError, match=r"redis\+cluster"):
        await require_suitable(connection)
    await connection.close()


def some_family(name: str) -> Family:
    now = int(time.time())
    return Family(name, "alice", "web", ("orders:read",), "https://orders", now, ("pwd",), 0, now + 86_400)


class Process:
    """What one server process has of both stores."""

    def __init__(self, database: Database, url: str) -> None:
        self.redis, self.journal = connect(url), SqlJournal(database)
        self.stream, self.families = RedisStream(self.redis), RedisFamilies(self.redis, 86_400, 10)
        self.ledger: Ledger[SqlChange] = Ledger(changes(database, HORIZON, KEPT), self.journal, self.stream)

    async def end(self, grant: str) -> None:
        async with self.ledger.change() as change:
            change.revoke(Rule.ending(RuleKind.GRANT, grant))

    async def refresh(self, grant: str, number: int = 0) -> Step | None:
        """Returns what became of it, or None where nothing is known."""
        try:
            return await self.families.step(Generation(grant, number), True, KID)
        except StoreUnavailableError:
            return None


@pytest.fixture
async def start(database: Database) -> AsyncIterator[Callable[[], Process]]:
    """Starts server processes, and ends them."""
    started: list[Process] = []

    def start_one() -> Process:
        started.append(Process(database, cluster().url))
        return started[-1]

    yield start_one
    for process in started:
        await process.redis.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(await SqlServer("sqlite", tmp_path).migrated_url())
    yield opened
    await opened.close()


async def confirmed(process: Process) -> None:
    """Returns when the process has compared the heads, as it tries to twice a second."""
    async with asyncio.timeout(15):
        while True:
            try:
                await process.ledger.catch_up()
                return
            except StoreUnavailableError:
                await asyncio.sleep(0.05)


def elsewhere_than_the_feed(made: Cluster) -> tuple[str, Server]:
    """A family that another node has than the stream, and that node."""
    feed = home_of(made, "{feed}")
    name = next(f"family-{n}" for n in range(1000) if home_of(made, family_key(f"family-{n}")) != feed)
    return name, made.servers[home_of(made, family_key(name))]


def restart_as_it_was(server: Server, copy: Path) -> None:
    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    shutil.copytree(copy, server.folder / "appendonlydir")
    server.start()
    server.wait()
    until(lambda: "cluster_state:ok" in server.say("CLUSTER", "INFO"))


@pytest.mark.parametrize("who", ["a living process", "a process that starts"])
async def test_a_node_that_lost_the_end_of_a_session_never_revives_it(
    shared: RedisConnection, start: Callable[[], Process], tmp_path: Path, who: str
) -> None:
    """I2, F02, F04: the head stands on another node and says that all is well, and the rule leaves the picture long before
    the session would end by itself."""
    name, server = elsewhere_than_the_feed(cluster())
    process = start()
    await process.ledger.catch_up()
    await process.families.begin(some_family(name), KID)
    shutil.copytree(server.folder / "appendonlydir", tmp_path / "copy")
    await process.end(name)
    assert await process.refresh(name) is Step.UNKNOWN
    if who == "a process that starts":
        process = start()
    restart_as_it_was(server, tmp_path / "copy")
    if who == "a living process":
        assert await process.refresh(name) is None
    assert family_key(name) in server.say("KEYS", "*")
    assert await process.stream.head() == await process.journal.head()
    await confirmed(process)
    assert await process.refresh(name, 0) is Step.UNKNOWN
    assert family_key(name) not in server.say("KEYS", "*")


async def test_sessions_of_a_node_that_came_back_go_on_once_it_was_looked_through(
    shared: RedisConnection, start: Callable[[], Process], tmp_path: Path
) -> None:
    """I7: nobody has to log in again because a node was restarted."""
    name, server = elsewhere_than_the_feed(cluster())
    process = start()
    await process.ledger.catch_up()
    await process.families.begin(some_family(name), KID)
    restart_as_it_was(server, shutil.copytree(server.folder / "appendonlydir", tmp_path / "copy"))
    await confirmed(process)
    assert await process.refresh(name) in (Step.ADVANCED, Step.REPEATED)
