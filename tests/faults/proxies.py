"""Proxies that mean well: one loses answers, one asks two servers and takes whichever answer it likes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from urllib.parse import urlsplit

from balancer import Balancer


class Forgetful(Balancer):
    """Delivers each request, and hangs up instead of delivering some of the answers."""

    def __init__(self, port: int, servers: list[str], choice: random.Random, share: float) -> None:
        super().__init__(port, servers)
        self._choice, self._share = choice, share
        self.lost = 0

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, counted: bool) -> None:
        if counted:
            await super()._carry(source, target, counted=True)
            return
        while data := await source.read(65536):
            if self._choice.random() < self._share:
                self.lost += 1
                return
            target.write(data)
            await target.drain()


class Hedging(Balancer):
    """Sends each request to two servers at once, and delivers the answer of one when the other has answered too."""

    def __init__(self, port: int, servers: list[str]) -> None:
        super().__init__(port, servers)
        self._twins = servers

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: str) -> None:
        opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        try:
            with suppress(OSError):
                for each in sorted(self._twins, key=lambda twin: twin != server):
                    opened.append(await asyncio.open_connection("127.0.0.1", urlsplit(each).port))
                (wanted, _), (unwanted, _) = opened
                other_answered = asyncio.Event()
                await until_one_ends(
                    send_to_all(reader, [onward for _, onward in opened], other_answered),
                    deliver(wanted, writer, other_answered),
                    drain(unwanted, other_answered),
                )
        finally:
            for each in (writer, *(onward for _, onward in opened)):
                each.close()


async def send_to_all(
    reader: asyncio.StreamReader, onwards: list[asyncio.StreamWriter], other_answered: asyncio.Event
) -> None:
    while data := await reader.read(65536):
        other_answered.clear()
        for onward in onwards:
            onward.write(data)


async def deliver(answers: asyncio.StreamReader, writer: asyncio.StreamWriter, other_answered: asyncio.Event) -> None:
    while data := await answers.read(65536):
        await other_answered.wait()
        writer.write(data)


async def drain(answers: asyncio.StreamReader, answered: asyncio.Event) -> None:
    """Reads what nobody wants."""
    while await answers.read(65536):
        answered.set()


async def until_one_ends(*ways: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
