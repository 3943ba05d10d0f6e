"""Lines between a server and its stores, in a process of their own, that can be cut.

    python cut_line.py NAME=PORT=SOCKET ...

Each takes connections at a port and leads to a Unix socket. An order, `{"sql": "silent"}`, says how each line is from now on:

pass      bytes travel
refused   connections are refused, and those there are reset
silent    connections are accepted and kept, and every byte of either side is lost; what was lost stays lost
slow D L  bytes travel, D seconds later; of what is sent a share of L is lost and sent again, and holds up the rest
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from orders import Program, obey_all, running

RESEND_SECONDS = 0.25
"""After which TCP sends again what was lost, at the earliest."""


class Line:
    """One of them."""

    def __init__(self, port: int, socket: str) -> None:
        self.port, self.socket, self.mode = port, socket, "refused"
        self.delay, self.loss = 0.0, 0.0
        self.server: asyncio.Server | None = None
        self.writers: set[asyncio.StreamWriter] = set()

    async def be(self, mode: str) -> None:
        """Cuts or mends."""
        self.mode, *numbers = mode.split()
        self.delay, self.loss = map(float, numbers or (0, 0))
        if mode == "refused" and self.server is not None:
            self.server.close()
            self.server = None
            for writer in self.writers:
                writer.transport.abort()
        elif mode != "refused" and self.server is None:
            self.server = await asyncio.start_server(self.lead, "127.0.0.1", self.port)

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Leads one connection to the store; one that began in silence leads nowhere."""
        with suppress(ConnectionError):
            async with self.kept(writer):
                if self.mode == "silent":
                    while await reader.read(65536):
                        pass
                    return
                inner, outer = await asyncio.open_unix_connection(self.socket)
                async with self.kept(outer):
                    ways = [asyncio.create_task(way) for way in (self.pump(reader, outer), self.pump(inner, writer))]
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    @asynccontextmanager
    async def kept(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self.writers.add(writer)
        try:
            yield
        finally:
            self.writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivering = asyncio.create_task(self.deliver(late, writer))
        try:
            while data := await reader.read(65536):
                if self.mode in ("pass", "slow"):
                    again = RESEND_SECONDS if random.random() < self.loss else 0.0
                    late.put_nowait((time.monotonic() + self.delay + again, data))
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    async def deliver(self, late: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """Hands on what has arrived, each when it is due and never before what was sent earlier."""
        while True:
            due, data = await late.get()
            if (left := due - time.monotonic()) > 0:
                await asyncio.sleep(left)
            writer.write(data)
            await writer.drain()


async def main(*described: str) -> None:
    """Obeys until standard input ends."""
    parts = [each.split("=") for each in described]
    lines = {name: Line(int(port), socket) for name, port, socket in parts}

    async def obey(order: Mapping[str, str]) -> None:
        for name, mode in order.items():
            await lines[name].be(mode)

    await obey_all(obey)


@asynccontextmanager
async def lines(**ends: tuple[int, str]) -> AsyncIterator[Program]:
    """Runs the lines, each a port and the socket it leads to, with bytes travelling on all of them."""
    async with running(__file__, *(f"{name}={port}={socket}" for name, (port, socket) in ends.items())) as program:
        await program.order(**dict.fromkeys(ends, "pass"))
        yield program


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
