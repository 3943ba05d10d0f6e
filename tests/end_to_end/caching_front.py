"""What stands before the replicas of an installation: it spreads requests over them, and caches the JWKS as long as it may.

It never says how old its copy is (no `Age`), so whoever fetches the keys through it holds them for up to twice `max-age`.
That is the first term of the time a key is published before it signs (K01).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

from wire import Answer, Wire

JWKS_PATH = "/.well-known/jwks.json"
NOT_FORWARDED = {"host", "content-length", "connection"}
NOT_RETURNED = {"content-length", "connection", "transfer-encoding", "date", "server"}


class CachingFront:
    """Every request goes to the next replica; `fetched` and `answered` count what was asked about the JWKS."""

    def __init__(self, replicas: list[str]) -> None:
        self._replicas = replicas
        self._turns = cycle(range(len(replicas)))
        self._jwks: tuple[Answer, float] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.fetched = self.answered = 0

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[CachingFront]:
        """Listens on loopback until the end of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        try:
            yield self
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        wires = [Wire(url) for url in self._replicas]
        try:
            while True:
                method, path, headers, body = await _request(reader)
                answer = await self._answer(wires, method, path, headers, body)
                writer.write(_bytes(answer))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # Either side hung up.
        except asyncio.CancelledError:
            pass  # The end of the experiment; a stream's own handler would report it as an error.
        finally:
            self._connections.discard(task)
            writer.close()
            for wire in wires:
                await wire.close()

    async def _answer(self, wires: list[Wire], method: str, path: str, headers: dict[str, str], body: str) -> Answer:
        if path == JWKS_PATH:
            self.answered += 1
            if self._jwks is not None and time.monotonic() < self._jwks[1]:
                return self._jwks[0]
        answer = await wires[next(self._turns)].request(method, path, body, headers)
        if path == JWKS_PATH and answer.status == 200:
            self.fetched += 1
            lifetime = re.search(r"max-age=(\d+)", answer.headers["cache-control"])
            assert lifetime is not None
            self._jwks = (answer, time.monotonic() + int(lifetime[1]))
        return answer


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    received = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(received.get("content-length", "0")))
    return method, path, {name: value for name, value in received.items() if name not in NOT_FORWARDED}, body.decode()


def _bytes(answer: Answer) -> bytes:
    kept = {name: value for name, value in answer.headers.items() if name not in NOT_RETURNED}
    lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {value}" for name, value in kept.items())]
    return ("\r\n".join([*lines, f"content-length: {len(answer.body)}"]) + "\r\n\r\n").encode() + answer.body
