"""A balancer that forgives what a real one forgives, and nothing else, and counts it.

Like nginx or HAProxy it asks the next server when one refuses the connection, and asks anew when a connection that it had kept
open is closed without a byte of an answer. A fresh connection that ends without a whole answer is a request that was dropped:
nobody may send it again, for nobody knows what became of it. `heeds_readiness`: it asks servers for their readiness, ten times
a second, and sends nobody to one that says no.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from contextlib import suppress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_PROBE = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_BROKEN = (OSError, asyncio.IncompleteReadError)


class FairBalancer:
    """Listens on a port of the loopback interface; `servers` are the ports behind it."""

    def __init__(self, port: int, servers: list[int], *, heeds_readiness: bool = False) -> None:
        self._port, self._servers, self._heeds = port, servers, heeds_readiness
        self._kept: defaultdict[int, list[Streams]] = defaultdict(list)
        self._turn = 0
        self._well = set(servers)
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = f"http://127.0.0.1:{port}"
        self.answered = self.refused = self.rested = 0
        self.dropped: list[str] = []

    async def __aenter__(self) -> FairBalancer:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        if self._heeds:
            for server in self._servers:
                self._begin(self._look(server))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for kept in self._kept.values():
            for _, writer in kept:
                writer.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._serve(reader, writer))

    def _begin(self, work) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request after the other; a request that was dropped ends the connection without an answer."""
        try:
            with suppress(*_BROKEN):
                while answer := await self._ask(await _message(reader)):
                    writer.write(answer)
                    await writer.drain()
                    if _LAST.search(answer.partition(b"\r\n\r\n")[0]):
                        break
        finally:
            writer.close()

    async def _ask(self, request: bytes) -> bytes:
        self._turn += 1
        places = [self._servers[(self._turn + step) % len(self._servers)] for step in range(len(self._servers))]
        for server in sorted(places, key=lambda each: each not in self._well):
            if answer := await self._ask_again(server, request):
                return answer
            try:
                streams = await asyncio.open_connection("127.0.0.1", server)
            except OSError:
                self.refused += 1
                continue
            try:
                return await self._exchange(server, streams, request)
            except _BROKEN as error:
                self.dropped.append(f"{server} {request[:40]!r}: {error!r}")
                return b""
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"

    async def _ask_again(self, server: int, request: bytes) -> bytes:
        """On a connection that was kept, if there is one that is still open."""
        while self._kept[server]:
            streams = self._kept[server].pop()
            try:
                return await self._exchange(server, streams, request)
            except ConnectionError:
                self.rested += 1
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    self.dropped.append(f"{server} {request[:40]!r}: half an answer")
                    return b""
                self.rested += 1
        return b""

    async def _exchange(self, server: int, streams: Streams, request: bytes) -> bytes:
        """Keeps the connection if it may be used again, and closes it otherwise, whatever happens."""
        reader, writer = streams
        is_kept = False
        try:
            writer.write(request)
            answer = await _message(reader)
            self.answered += 1
            is_kept = not _LAST.search(answer.partition(b"\r\n\r\n")[0])
            if is_kept:
                self._kept[server].append(streams)
            return answer
        finally:
            if not is_kept:
                writer.close()

    async def _look(self, server: int) -> None:
        while True:
            status = b""
            with suppress(TimeoutError, *_BROKEN):
                async with asyncio.timeout(1):
                    status = (await _probed(server))[:12]
            (self._well.add if status == b"HTTP/1.1 200" else self._well.discard)(server)
            await asyncio.sleep(0.1)


async def _probed(server: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    try:
        writer.write(_PROBE)
        return await _message(reader)
    finally:
        writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)
