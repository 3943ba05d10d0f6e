"""Programs beside a test that answer in lines of JSON; most obey orders, each answered when it is in force."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

LONGEST_LINE = 1 << 24


async def obey_all(obey: Callable[[dict[str, Any]], Awaitable[object]]) -> None:
    """What such a program does until its standard input ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await obey(json.loads(line))), flush=True)


@dataclass(frozen=True)
class Program:
    """Speaks to it, from a test."""

    process: asyncio.subprocess.Process

    async def order(self, **order: object) -> Any:
        """Returns the answer, once it is obeyed."""
        self.write(json.dumps(order))
        return await self.told()

    def write(self, line: str) -> None:
        """Hands it a line."""
        assert self.process.stdin is not None
        assert self.process.returncode is None, "the program ended"
        self.process.stdin.write(line.encode() + b"\n")

    async def told(self, patience: float = 30) -> Any:
        """Returns the next line it writes, within `patience` seconds."""
        assert self.process.stdout is not None
        async with asyncio.timeout(patience):
            line = await self.process.stdout.readline()
        assert line, "the program ended"
        return json.loads(line)

    def end_input(self) -> None:
        """Tells it that nothing more will come."""
        assert self.process.stdin is not None
        self.process.stdin.close()


@asynccontextmanager
async def running(path: str, *argv: str) -> AsyncIterator[Program]:
    """Runs the program, and ends it."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, path, *argv, stdin=pipe, stdout=pipe, limit=LONGEST_LINE
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()
