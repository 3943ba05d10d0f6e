"""Programs of the tests that obey orders: each a line of JSON on standard input, answered by one when it is in force."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


async def obey_all(obey: Callable[[dict[str, Any]], Awaitable[object]]) -> None:
    """What such a program does until its standard input ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await obey(json.loads(line))), flush=True)


@dataclass(frozen=True)
class Program:
    """Gives the orders, from a test."""

    process: asyncio.subprocess.Process

    async def order(self, **order: object) -> Any:
        """Returns the answer, once it is obeyed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(30):
            line = await self.process.stdout.readline()
        assert line, "the program ended"
        return json.loads(line)


@asynccontextmanager
async def running(path: str, *argv: str) -> AsyncIterator[Program]:
    """Runs the program, and ends it."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, path, *argv, stdin=pipe, stdout=pipe)
    try:
        yield Program(process)
    finally:
        process.kill()
        await process.wait()
        process._transport.close()
