"""Servers that an experiment may kill, freeze and start again, each known by its port."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from orders import Program, running

_READY_SECONDS = 30.0
_STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.01


class Replica:
    """One server process after the other at the same address. Only the nursery's children; a pid is never trusted twice."""

    def __init__(
        self, nursery: Program, turn: asyncio.Lock, port: int, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{port}.log"
        self.pid = 0
        self._nursery, self._turn, self._environment = nursery, turn, dict(environment)
        self._handle: int | None = None

    async def start(self, *, failpoint: tuple[str, str, int] | None = None, bug: str = "", **changed: str) -> None:
        """Returns when it is ready, or at once when it died before; `changed` settings are for this life only."""
        await self.launch(failpoint=failpoint, bug=bug, **changed)
        async with asyncio.timeout(_READY_SECONDS):
            while self.is_alive and not await self.is_ready():
                await asyncio.sleep(_LOOK_SECONDS)

    async def launch(self, *, failpoint: tuple[str, str, int] | None = None, bug: str = "", **changed: str) -> None:
        """Starts it, and does not wait."""
        order: dict[str, Any] = {
            "port": self.port,
            "environment": {**self._environment, **changed},
            "log": str(self.log),
        }
        async with self._turn:  # One answer is awaited at a time.
            self.pid = (await self._nursery.order(**order, failpoint=failpoint, bug=bug))["pid"]
        self._release()
        with suppress(ProcessLookupError):  # It is dead already.
            self._handle = os.pidfd_open(self.pid)

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self._handle is not None and not select.select([self._handle], [], [], 0)[0]

    async def is_ready(self) -> bool:
        """Whether it says that it can issue."""
        return (await self.readiness()).startswith(b"HTTP/1.1 200")

    async def readiness(self) -> bytes:
        """What it answers when asked for its readiness; nothing when it cannot be reached, or says nothing for a second."""
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    return await reader.read()
                finally:
                    writer.close()
        except OSError:
            return b""

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if it still lives."""
        if self._handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    async def kill(self) -> None:
        """Ends it as a power failure would."""
        self.send(signal.SIGKILL)
        await self.wait()

    async def stop(self) -> None:
        """Asks it to stop, and waits until it has."""
        self.send(signal.SIGTERM)
        await self.wait(_STOP_SECONDS)

    async def wait(self, seconds: float = _READY_SECONDS) -> None:
        """Returns when it is dead."""
        async with asyncio.timeout(seconds):
            while self.is_alive:
                await asyncio.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Ends it for good."""
        self.send(signal.SIGKILL)
        self._release()

    def _release(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


@asynccontextmanager
async def replicas(ports: list[int], environment: Mapping[str, str], folder: Path) -> AsyncIterator[list[Replica]]:
    """Servers for these ports, none of them started yet; all end with the block."""
    async with running(str(Path(__file__).parent / "nursery.py")) as nursery:
        turn = asyncio.Lock()
        made = [Replica(nursery, turn, port, environment, folder) for port in ports]
        try:
            yield made
        finally:
            for each in made:
                each.close()
