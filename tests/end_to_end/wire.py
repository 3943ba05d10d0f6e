"""A small keep-alive HTTP client for load: a few microseconds a request, where a full client takes milliseconds."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers in lower case, and body of one response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        """Returns the parsed body."""
        return json.loads(self.body)


class Wire:
    """One connection to one server, opened anew when it was closed in between."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def form(self, path: str, basic: tuple[str, str] | None = None, **fields: str) -> Answer:
        """POSTs a urlencoded form, by whom HTTP Basic says."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if basic is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        return await self.request("POST", path, urlencode(fields), headers)

    async def get(self, path: str, token: str | None = None) -> Answer:
        """GETs a path, with a bearer token if there is one."""
        return await self.request("GET", path, "", {"Authorization": f"Bearer {token}"} if token else {})

    async def request(self, method: str, path: str, body: str, headers: dict[str, str]) -> Answer:
        """Sends a request and reads its answer; a connection the server closed while it rested is opened again once."""
        fresh = self._streams is None
        try:
            return await self._exchange(method, path, body, headers)
        except (ConnectionError, asyncio.IncompleteReadError):
            await self.close()
            if fresh:
                raise
            return await self._exchange(method, path, body, headers)

    async def close(self) -> None:
        """Closes the connection."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, method: str, path: str, body: str, headers: dict[str, str]) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        received = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        content = await reader.readexactly(int(received.get("content-length", "0")))
        if received.get("connection", "").lower() == "close":
            await self.close()
        return Answer(int(head[0].split()[1]), received, content)
