"""Behind Sentinel: whichever server is the primary now is the one that is spoken to (F03)."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from engines import scratch, sentinels
from several_valkeys import Sentinels, Server, data_server, free_ports

from identity.feed.stores import StoreUnavailableError
from identity.store.redis.connection import RedisConnection, connect

NOTICED_SECONDS = 1.5


@pytest.fixture
def failing_over() -> Iterator[Sentinels]:
    made = Sentinels(Path(tempfile.mkdtemp(dir=scratch())), replicas=1)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def another() -> Iterator[Server]:
    made = data_server(Path(tempfile.mkdtemp(dir=scratch())), *free_ports(1))
    made.start()
    made.wait()
    yield made
    made.kill()


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_primary_that_was_replaced_is_left_although_it_answers(failing_over: Sentinels, blocking: bool) -> None:
    """F03, I4: it does not know, and what is done there will be lost."""
    redis = connect(failing_over.url)
    used = redis.blocking if blocking else redis
    old = failing_over.primary()
    await used.execute("SET", "k", "before")
    old.signal(signal.SIGSTOP)
    while failing_over.primary() is old:
        await asyncio.sleep(0.02)
    old.signal(signal.SIGCONT)
    deadline = time.monotonic() + NOTICED_SECONDS
    while failing_over.primary().say("GET", "k") != "after":
        await used.execute("SET", "k", "after")
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await redis.close()


@dataclass
class Saying:
    """What a sentinel says: whom it describes as the primary, since which failover, how well that one is, and, where that is
    another one, whom it names; after how many seconds."""

    port: str
    epoch: int
    flags: str = "master"
    named: str = ""
    after: float = 0.0

    @property
    def description(self) -> bytes:
        return words("ip", "127.0.0.1", "port", self.port, "flags", self.flags, "config-epoch", str(self.epoch))

    @property
    def name(self) -> bytes:
        return words("127.0.0.1", self.named or self.port)


def words(*each: str) -> bytes:
    return (f"*{len(each)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in each)).encode()


async def test_what_sentinels_say_that_are_behind_is_not_believed_again(another: Server) -> None:
    """F03: most of them may not have heard yet who took over, when the old primary is back."""
    old, now = str(sentinels().servers[0].port), str(another.port)
    told = [Saying(old, 1) for _ in range(3)]
    async with connected_by(*told) as redis:
        assert await port_of(redis) == old
        for each in told:
            each.port, each.epoch = now, 2
        await until_it_goes_to(redis, now)
        told[0].port, told[0].epoch = told[1].port, told[1].epoch = old, 1
        for _ in range(10):
            another.say("CLIENT", "KILL", "TYPE", "normal")
            assert await port_of(redis) == now
        told[2].port, told[2].epoch = old, 1  # They were all set back: there is nobody left who knows better.
        await until_it_goes_to(redis, old)


async def test_the_one_sentinel_that_knows_of_another_primary_is_heard(another: Server) -> None:
    """F03: the others hear of it up to two seconds later, and the one that was chosen for the failover describes the old
    primary until all replicas follow the new one; that one it names."""
    old, now = str(sentinels().servers[0].port), str(another.port)
    told = [Saying(old, 1, after=0.0), Saying(old, 1, after=0.0), Saying(old, 1, after=0.1)]
    async with connected_by(*told) as redis:
        assert await port_of(redis) == old
        told[2].flags, told[2].epoch, told[2].named = "master,s_down,o_down,failover_in_progress", 2, now
        await until_it_goes_to(redis, now)


async def test_a_primary_that_a_sentinel_finds_silent_is_not_gone_to() -> None:
    """F03: it is asked for again until they name another one."""
    port = str(sentinels().servers[0].port)
    told = Saying(port, 1, flags="master,s_down")
    async with connected_by(told) as redis:
        with pytest.raises(StoreUnavailableError):
            await redis.execute("PING")
        told.flags = "master"
        await until_it_goes_to(redis, port)


async def port_of(redis: RedisConnection) -> str:
    _, port = await redis.execute("CONFIG", "GET", "port")
    return str(port)


async def until_it_goes_to(redis: RedisConnection, port: str) -> None:
    deadline = time.monotonic() + NOTICED_SECONDS
    while await port_of(redis) != port:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_silent_sentinel_holds_nobody_up() -> None:
    """F03: they are asked together, and a majority is enough."""
    silent = sentinels().sentinels[0]
    silent.signal(signal.SIGSTOP)
    try:
        redis = connect(sentinels().url)
        asked_at = time.monotonic()
        await redis.execute("PING")
        assert time.monotonic() - asked_at < 0.5
        await redis.close()
    finally:
        silent.signal(signal.SIGCONT)


@pytest.mark.parametrize("old", [0, 1, 2])
async def test_of_what_sentinels_say_the_newest_counts(old: int) -> None:
    """F03: one that was cut off from the others still names the primary that they replaced."""
    primary, replaced = str(sentinels().servers[0].port), "1"
    async with connected_by(*(Saying(replaced, 3) if at == old else Saying(primary, 4) for at in range(3))) as redis:
        assert await redis.execute("PING") in (True, "PONG")


async def test_a_replica_that_sentinels_name_is_not_believed_to_be_the_primary() -> None:
    """F03: a moment after a failover they may be ahead of it; reads of a replica may be old."""
    primary = sentinels().servers[0]
    primary.say("REPLICAOF", "127.0.0.1", "1")
    try:
        async with connected_by(Saying(str(primary.port), 5)) as redis:
            with pytest.raises(StoreUnavailableError):
                await redis.execute("GET", "k")
            primary.say("REPLICAOF", "NO", "ONE")
            assert await redis.execute("GET", "k") is None
    finally:
        primary.say("REPLICAOF", "NO", "ONE")


async def test_sentinels_are_told_their_own_password_only() -> None:
    """K05: another program with other keepers."""
    heard: list[bytes] = []
    async with sentinel_that_says(Saying(str(sentinels().servers[0].port), 1), heard) as place:
        for own, told in (("", False), ("?sentinel_password=theirs", True)):
            redis = connect(f"redis+sentinel://me:ours@{place}/identity{own}")
            with pytest.raises(StoreUnavailableError):  # There is no such user.
                await redis.execute("PING")
            await redis.close()
            assert (b"theirs\r\n" in heard) is told
    assert b"ours\r\n" not in heard


@asynccontextmanager
async def connected_by(*told: Saying) -> AsyncIterator[RedisConnection]:
    """A connection to the primary that these sentinels name."""
    async with AsyncExitStack() as stack:
        places = [await stack.enter_async_context(sentinel_that_says(each)) for each in told]
        redis = connect(f"redis+sentinel://{','.join(places)}/identity")
        stack.push_async_callback(redis.close)
        yield redis


@asynccontextmanager
async def sentinel_that_says(told: Saying, heard: list[bytes] | None = None) -> AsyncIterator[str]:
    """The place of one that answers so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if heard is not None:
                heard.append(line)
            if line.upper() == b"MASTER\r\n":
                await asyncio.sleep(told.after)
                writer.write(told.description)
            elif line.upper() == b"GET-MASTER-ADDR-BY-NAME\r\n":
                writer.write(told.name)
            elif line.upper() == b"AUTH\r\n":
                writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
