"""Stands between verifiers and an issuer, as a process of its own, and breaks what it is told to break.

    python faulty_proxy.py PORT UPSTREAM_PORT

Each line of standard input is an order, `{"faults": {"/revocations": "hang"}}`; `*` means every path, and no faults heal all.
`{"max_age": 300}` has every answer that may be cached say so. Each order is answered, once it is in force, with what was
counted until then: requests by path, how many are outstanding, and were at most.
Whatever answer is under way when a fault begins is lost to it; a request that hangs is never answered.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from orders import Program, obey_all, running

Counts = dict[str, dict[str, int]]

LARGE_BYTES = 10 * 1024 * 1024
GONE = (ConnectionError, asyncio.IncompleteReadError)


@dataclass
class Proxy:
    """One port, and behind it the issuer's."""

    port: int
    upstream: int
    faults: dict[str, str] = field(default_factory=dict)
    max_age: int | None = None
    requests: Counter[str] = field(default_factory=Counter)
    outstanding: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def obey(self, order: dict[str, Any]) -> dict[str, object]:
        """Breaks or heals, and returns what was counted until then; `most` begins anew with every such order."""
        counted = {"requests": self.requests, "outstanding": +self.outstanding, "most": self.most}
        if "faults" in order:
            self.faults = order["faults"]
            self.most = +self.outstanding
        self.max_age = order.get("max_age", self.max_age)
        await (self.close() if self.faults.get("*") == "down" else self.open())
        return counted

    async def open(self) -> None:
        """Listens."""
        if self.server is None:
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Refuses connections, and resets those there are."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in self.writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection, one after the other."""
        self.writers.add(writer)
        with suppress(*GONE):
            while not reader.at_eof() and await self.serve_one(reader, writer):
                pass
        self.writers.discard(writer)
        writer.close()
        with suppress(*GONE):
            await writer.wait_closed()

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection lives on. A request is outstanding until it is answered or its client is gone."""
        request = await read_message(reader)
        path = request.split(b" ", 2)[1].partition(b"?")[0].decode()
        self.requests[path] += 1
        self.outstanding[path] += 1
        self.most[path] = max(self.most[path], self.outstanding[path])
        answering = asyncio.create_task(self.answer(path, request, writer))
        leaving = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            return answering.done() and answering.result()
        finally:
            self.outstanding[path] -= 1
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def answer(self, path: str, request: bytes, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection lives on."""
        answer = b""
        if not (fault := self.fault_of(path)):
            answer = await self.ask(request)
            fault = self.fault_of(path)
        if fault == "hang":
            await asyncio.get_running_loop().create_future()
        writer.write(self.broken(fault) if fault else answer)
        if fault == "trickle":
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.05)
        await writer.drain()
        return not fault

    def fault_of(self, path: str) -> str | None:
        return self.faults.get(path) or self.faults.get("*")

    def broken(self, fault: str) -> bytes:
        """What is sent instead of an answer, before the connection is closed."""
        garbage = os.urandom(4096)
        answers = {
            "close": b"",
            "noise": garbage,
            "500": http("500 Internal Server Error", b"{}"),
            "garbage": http("200 OK", garbage),
            "empty": http("200 OK", b"{}"),
            "large": http("200 OK", b"[" + b" " * LARGE_BYTES),
            "redirect": http("302 Found", b"", f"Location: http://127.0.0.1:{self.port}/elsewhere"),
            "trickle": http("200 OK", b"", "Content-Length: 1000"),
        }
        return answers[fault]

    async def ask(self, request: bytes) -> bytes:
        """Returns the issuer's answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            writer.write(request)
            answer = await read_message(reader)
            return answer if self.max_age is None else re.sub(rb"max-age=\d+", b"max-age=%d" % self.max_age, answer)
        finally:
            writer.close()


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Returns one request or response, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)


def http(status: str, body: bytes, *headers: str) -> bytes:
    length = [] if any(header.startswith("Content-Length") for header in headers) else [f"Content-Length: {len(body)}"]
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *length, *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def main(port: int, upstream: int) -> None:
    """Obeys until standard input ends."""
    await obey_all(Proxy(port, upstream).obey)


@dataclass(frozen=True)
class Remote:
    """Gives orders to the process, from a test. Each returns what was counted until then."""

    url: str
    program: Program

    async def breaks(self, fault: str, *paths: str) -> Counts:
        """Breaks these paths, or all; every other is healed."""
        return await self.program.order(faults=dict.fromkeys(paths or ("*",), fault))

    async def heals(self) -> Counts:
        """Lets everything pass."""
        return await self.program.order(faults={})

    async def caches_for(self, seconds: int) -> Counts:
        """Has every answer that may be cached be cached for so long."""
        return await self.program.order(max_age=seconds)

    async def counts(self) -> Counts:
        """Changes nothing."""
        return await self.program.order()


@asynccontextmanager
async def standing_between(port: int, upstream: int) -> AsyncIterator[Remote]:
    """Runs the proxy, with nothing broken."""
    async with running(__file__, str(port), str(upstream)) as program:
        remote = Remote(f"http://127.0.0.1:{port}", program)
        await remote.heals()
        yield remote


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
