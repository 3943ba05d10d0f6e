"""What stands before the replicas of an issuer: hands connections out in turn, and counts the requests on them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from itertools import cycle
from urllib.parse import urlsplit

_REQUEST_LINE = re.compile(rb"(?:GET|POST) (/[^ ?]*)[^ ]* HTTP/1\.1\r\n")
_LONGEST_LINE = 8192


class Balancer:
    """Listens on `port` of the loopback interface; each connection goes to the next of `servers` (their addresses).

    `requests` counts by path. A request line may arrive in pieces: what was not matched yet is looked at again.
    """

    def __init__(self, port: int, servers: list[str]) -> None:
        self._port = port
        self._turns = cycle(servers)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.requests: Counter[str] = Counter()

    async def __aenter__(self) -> Balancer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer, next(self._turns)))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: str) -> None:
        """Carries bytes both ways until either side has closed."""
        onward = None
        try:
            with suppress(OSError):
                parts = urlsplit(server)
                answers, onward = await asyncio.open_connection(parts.hostname, parts.port)
                ways = {asyncio.create_task(self._carry(reader, onward, counted=True))}
                ways.add(asyncio.create_task(self._carry(answers, writer, counted=False)))
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        finally:
            writer.close()
            if onward is not None:
                onward.close()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, counted: bool) -> None:
        seen = b""
        while data := await source.read(65536):
            if counted:
                seen = self._count(seen + data)
            target.write(data)
            await target.drain()

    def _count(self, seen: bytes) -> bytes:
        """Counts the request lines in `seen`; returns what may still be the beginning of one."""
        end = 0
        for match in _REQUEST_LINE.finditer(seen):
            self.requests[match[1].decode()] += 1
            end = match.end()
        return seen[end:][-_LONGEST_LINE:]
