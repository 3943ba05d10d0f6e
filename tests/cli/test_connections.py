"""Clients that send badly, slowly or nothing: each is answered or let go in bounded time and memory (F21)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn

from identity.cli import connections
from identity.cli.connections import GuardedProtocol
from identity.cli.serving import Server

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class AtTheDoor(Server):
    """To which clients come at the last moment: the event loop has taken in all there were, and shuts the door next."""

    expected = 0
    late: list[socket.socket]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.late = [socket.create_connection(self.servers[0].sockets[0].getsockname()) for _ in range(self.expected)]
        for each in self.late:
            each.sendall(GET)
        await super().shutdown(sockets)


@dataclass
class Site:
    """An application under the protocol: answers with the path, once it may."""

    port: int
    server: AtTheDoor
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    body: bytes = b""

    async def __call__(self, scope, receive, send) -> None:
        self.asked.append(scope["path"])
        await self.may_answer.wait()
        body = self.body or scope["path"].encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.asked) < count:
                await asyncio.sleep(0.005)


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.3)
    listening = socket.create_server(("127.0.0.1", 0))
    made = Site(listening.getsockname()[1], None)
    config = uvicorn.Config(
        made,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=1,
        log_config=None,
        access_log=False,
    )
    made.server = AtTheDoor(config)
    made.may_answer.set()
    serving = asyncio.create_task(made.server.serve(sockets=[listening]))
    yield made
    made.may_answer.set()
    made.server.should_exit = True
    await serving


@asynccontextmanager
async def connected(site: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest_of(reader: asyncio.StreamReader, seconds: float = 5) -> bytes:
    """Everything until the connection is closed, which it must be; a reset does not hide what came before it."""
    arrived = b""
    try:
        async with asyncio.timeout(seconds):
            while data := await reader.read(65536):
                arrived += data
    except ConnectionError:
        arrived += bytes(reader._buffer)
    return arrived


async def drip(writer: asyncio.StreamWriter, data: bytes, pause: float = 0.02) -> None:
    try:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        pass


@pytest.mark.parametrize("before", [b"", GET], ids=["at first", "after an answer"])
async def test_a_head_that_trickles_in_gets_408(site: Site, before: bytes) -> None:
    """F21: slowloris; each byte comes in time, and the head never."""
    async with connected(site) as (reader, writer):
        writer.write(before)
        if before:
            await reader.readuntil(b"\r\n\r\n/")
        dripping = asyncio.create_task(drip(writer, b"GET / HTTP/1.1\r\nX: " + b"a" * 1000))
        assert b"HTTP/1.1 408 " in await rest_of(reader)
        dripping.cancel()


async def test_a_connection_on_which_nothing_comes_is_closed(site: Site) -> None:
    """F21: before its first request a client is not idle but late."""
    async with connected(site) as (reader, _):
        assert await rest_of(reader) == b""


async def test_line_breaks_between_requests_are_not_a_head(site: Site) -> None:
    """F21: each ends the wait for the next request, and none begins one."""
    async with connected(site) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n/")
        dripping = asyncio.create_task(drip(writer, b"\r\n" * 500))
        await rest_of(reader)
        dripping.cancel()


HUGE: list[tuple[str, Callable[[], bytes]]] = [
    ("path", lambda: b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n"),
    ("value", lambda: b"GET / HTTP/1.1\r\nX: " + b"a" * 64_000 + b"\r\n\r\n"),
    ("name", lambda: b"GET / HTTP/1.1\r\n" + b"a" * 64_000 + b": x\r\n\r\n"),
    ("lines", lambda: b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 150 + b"\r\n"),
    ("endless", lambda: b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000),
]


@pytest.mark.parametrize("head", [head for _, head in HUGE], ids=[name for name, _ in HUGE])
async def test_a_head_that_is_too_large_gets_431(site: Site, head: Callable[[], bytes]) -> None:
    """F21, I6: httptools has no limit of its own."""
    async with connected(site) as (reader, writer):
        writer.write(head())
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 431 ")
    assert site.asked == []


async def test_an_endless_trailer_does_not_pile_up(site: Site) -> None:
    """F21, I6: what follows a chunked body is a head as well."""
    site.may_answer.clear()
    async with connected(site) as (_, writer):
        writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ")
        await site.until_asked(1)
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                writer.write(b"a" * 65_536)
                await writer.drain()


async def test_the_rest_of_a_body_nobody_wanted_is_not_read_for_ever(site: Site) -> None:
    """F21: the answer is out, and bytes of the request go on coming."""
    async with connected(site) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
        dripping = asyncio.create_task(drip(writer, b"a" * 1000))
        answer = await rest_of(reader)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1, "a 408 would be a second answer to one request"
        dripping.cancel()


async def test_a_few_requests_may_come_ahead_of_their_answers_but_not_thousands(site: Site) -> None:
    """F21, I6: each holds two kilobytes, and one read may bring ten thousand."""
    async with connected(site) as (reader, writer):
        writer.write(GET * 4)
        for _ in range(4):
            await reader.readuntil(b"\r\n\r\n/")
        site.may_answer.clear()
        writer.write(GET * 5000)
        assert b"200" not in await rest_of(reader)
    assert len(site.asked) == 5


async def test_what_is_no_request_gets_400(site: Site) -> None:
    """F21."""
    async with connected(site) as (reader, writer):
        writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 400 ")


async def test_nobody_is_answered_out_of_turn(site: Site) -> None:
    """I3: what is wrong with a second request is not said in the place of the first answer."""
    site.may_answer.clear()
    async with connected(site) as (reader, writer):
        writer.write(GET + b"nonsense\r\n\r\n")
        assert await rest_of(reader) == b""


async def test_an_answer_that_nobody_fetches_is_dropped(site: Site) -> None:
    """F21, I6: a client that asks for a large answer and reads nothing holds it in memory."""
    site.body = b"a" * 30_000_000
    async with connected(site) as (_, writer):
        writer.transport.pause_reading()
        writer.write(GET)
        await site.until_asked(1)
        async with asyncio.timeout(5):
            while site.server.server_state.connections:
                await asyncio.sleep(0.02)


async def test_an_answer_that_is_fetched_slowly_arrives(site: Site) -> None:
    """F21: slow is not stalled."""
    site.body = b"a" * 10_000_000
    async with connected(site) as (reader, writer):
        writer.write(GET)
        left = len(site.body)
        await reader.readuntil(b"\r\n\r\n")
        while left > 0:
            left -= len(await reader.readexactly(min(left, 500_000)))
            await asyncio.sleep(0.05)


async def test_whoever_waits_longest_makes_room_for_a_new_connection(site: Site, monkeypatch) -> None:
    """F19, F21: idle connections never keep anybody out, and one that is being answered is never closed for another."""
    monkeypatch.setattr(connections, "connection_limit", lambda: 3)
    site.may_answer.clear()
    async with connected(site) as (busy, asking), connected(site) as (first, _), connected(site) as (second, _):
        asking.write(GET)
        await site.until_asked(1)
        async with connected(site) as (newest, sending):
            assert await rest_of(first, 0.25) == b""
            sending.write(GET)
            await site.until_asked(2)
            site.may_answer.set()
            assert b" 200 " in await newest.readuntil(b"\r\n\r\n/")
            assert b" 200 " in await busy.readuntil(b"\r\n\r\n/")
            assert not second.at_eof()


async def test_when_everybody_is_being_answered_a_new_connection_is_closed(site: Site, monkeypatch) -> None:
    """F19, F21."""
    monkeypatch.setattr(connections, "connection_limit", lambda: 1)
    site.may_answer.clear()
    async with connected(site) as (busy, asking):
        asking.write(GET)
        await site.until_asked(1)
        async with connected(site) as (newest, _):
            assert await rest_of(newest) == b""
        site.may_answer.set()
        assert b" 200 " in await busy.readuntil(b"\r\n\r\n/")


async def test_a_request_that_crosses_the_stop_is_answered(site: Site) -> None:
    """F27: it was on its way when the server decided to close connections that rest."""
    async with connected(site) as (reader, writer), connected(site) as (fresh, begun):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n/")
        site.server.should_exit = True
        async with asyncio.timeout(5):
            while site.server.servers[0].is_serving():
                await asyncio.sleep(0.001)
        for each, answers in ((writer, reader), (begun, fresh)):
            each.write(GET)
            answer = await rest_of(answers)
            assert b" 200 " in answer
            assert b"connection: close" in answer


async def test_whoever_waits_at_the_door_when_it_shuts_is_answered(site: Site) -> None:
    """F27: the kernel took them in, and their requests; they are told that this connection ends."""
    site.server.expected = 20
    site.server.should_exit = True
    async with asyncio.timeout(5):
        while not hasattr(site.server, "late"):
            await asyncio.sleep(0.01)
    for each in site.server.late:
        reader, writer = await asyncio.open_connection(sock=each)
        answer = await rest_of(reader)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", site.port)
