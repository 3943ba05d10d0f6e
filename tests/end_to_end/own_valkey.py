"""A Valkey of a test's own, which can be killed and brought back as it was some seconds before."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from identity.store.embedded import find_server_binary
from identity.store.processes import kill_child, start_child

_APPENDED = "appendonlydir"
_START_SECONDS = 10.0


@dataclass(frozen=True)
class Snapshot:
    """A copy of everything Valkey had acknowledged before `taken_at` (monotonic clock), and perhaps a little more."""

    taken_at: float
    folder: Path


class OwnValkey:
    """One server on a socket in `folder`, whose path must be short. Start it from the main thread only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self._snapshots = 0

    async def start(self) -> float:
        """Returns the moment at which it answered for the first time, everything loaded."""
        self.socket.unlink(missing_ok=True)
        # Without fsync nothing waits for a slow disk: what was acknowledged stands in the file, where copies are made of it.
        fixed = "--port 0 --unixsocketperm 700 --maxmemory-policy noeviction --appendonly yes --appendfsync no"
        paths = ["--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", ""]
        with (self.folder / "valkey.log").open("ab") as output:
            argv = [str(find_server_binary()), *fixed.split(), *paths]
            self._process = start_child(argv, {**os.environ, "LC_ALL": "C"}, output=output)
        async with asyncio.timeout(_START_SECONDS):
            while not await self.is_answering():
                assert self._process.poll() is None, (self.folder / "valkey.log").read_text()[-1000:]
                await asyncio.sleep(0.002)
        return time.monotonic()

    async def is_answering(self) -> bool:
        """Whether a command is answered now; one that still loads refuses."""
        return (await self._ask(b"PING\r\n")).startswith(b"+PONG")

    async def flush(self) -> float:
        """Forgets everything; returns the moment at which that was done."""
        assert (await self._ask(b"FLUSHALL\r\n")).startswith(b"+OK")
        return time.monotonic()

    async def take_snapshot(self) -> Snapshot:
        """Copies the append-only file while the server goes on writing it, as a backup does; its last command may be cut."""
        self._snapshots += 1
        snapshot = Snapshot(time.monotonic(), self.folder / f"snapshot{self._snapshots}")
        await asyncio.to_thread(shutil.copytree, self.folder / _APPENDED, snapshot.folder)
        return snapshot

    def kill(self) -> None:
        """Ends it at once, as a power failure would."""
        if self._process is not None:
            kill_child(self._process)

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal, to freeze it or to have it go on."""
        assert self._process is not None
        self._process.send_signal(number)

    def lose(self) -> None:
        """Removes the files of a killed server: it comes back empty."""
        shutil.rmtree(self.folder / _APPENDED)

    async def put_back(self, snapshot: Snapshot) -> None:
        """Replaces the files of a killed server."""
        shutil.rmtree(self.folder / _APPENDED)
        await asyncio.to_thread(shutil.copytree, snapshot.folder, self.folder / _APPENDED)

    def forget(self, snapshot: Snapshot) -> None:
        """Removes a copy."""
        shutil.rmtree(snapshot.folder)

    async def _ask(self, question: bytes) -> bytes:
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return b""
        try:
            writer.write(question)
            return await reader.readline()
        except OSError:
            return b""
        finally:
            writer.close()
