"""Proxies that mean well: one loses answers, one asks two servers and takes whichever answer it likes."""

from __future__ import annotations

import asyncio
import random
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
    """Sends each request to two servers at once, and delivers the answers of one of them."""

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
                sending = self._send_to_all(reader, [onward for _, onward in opened])
                await self._until_one_ends([sending, self._carry(wanted, writer, counted=False), drain(unwanted)])
        finally:
            for each in (writer, *(onward for _, onward in opened)):
                each.close()

    async def _send_to_all(self, reader: asyncio.StreamReader, onwards: list[asyncio.StreamWriter]) -> None:
        while data := await reader.read(65536):
            for onward in onwards:
                onward.write(data)

    async def _until_one_ends(self, ways) -> None:
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def drain(answers: asyncio.StreamReader) -> None:
    """Reads what nobody wants."""
    while await answers.read(65536):
        pass
