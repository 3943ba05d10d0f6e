"""A request that asks for another protocol is read as what it is besides: Java's HTTP client asks for HTTP/2 with each one.

httptools ends such a request with its head. What follows is its body: whoever loses it answers another request, and whoever
reads it as the next request lets somebody smuggle one in past a proxy (RFC 9110 section 7.8, RFC 9112 section 11.2).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from identity.cli.connections import GuardedProtocol
from identity.cli.serving import Server

UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
BODY = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


async def echo(scope, receive, send) -> None:
    """Answers with method, path, the headers that a request of HTTP/1 could have, and body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    names = b",".join(sorted(name for name, _ in scope["headers"]))
    content = b"|".join([scope["method"].encode(), scope["raw_path"], scope["query_string"], names, body])
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(echo, http=GuardedProtocol, ws="none", lifespan="off", log_config=None, access_log=False)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    yield listening.getsockname()[1]
    server.should_exit = True
    await serving


async def answers(port: int, *pieces: bytes) -> list[bytes]:
    """What a connection is answered until the server closes it, with the pieces sent one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.03)  # So that they arrive one by one.
    async with asyncio.timeout(5):
        arrived = await reader.read()
    writer.close()
    return re.findall(rb"\r\n\r\n(.*?)(?=HTTP/1\.1 |\Z)", arrived, re.S)


def post(framing: bytes, extra: bytes = UPGRADE, path: bytes = b"/token?a=b") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + extra + framing + b"\r\n"


LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LAST_ANSWER = b"GET|/last||connection,host|"


@pytest.mark.parametrize(("framing", "sent"), [(LENGTH, BODY), (CHUNKED, IN_CHUNKS)], ids=["length", "chunked"])
async def test_the_body_is_the_body(port: int, framing: bytes, sent: bytes) -> None:
    """In one piece with the head, in the next one, and cut anywhere; what comes after it is the next request."""
    framed = b"content-length" if framing == LENGTH else b"transfer-encoding"
    names = b",".join(sorted([b"host", framed]))
    told = [b"POST|/token|a=b|" + names + b"|" + BODY, LAST_ANSWER]
    whole = post(framing) + sent + LAST
    assert await answers(port, whole) == told
    assert await answers(port, post(framing), sent + LAST) == told
    for cut in (7, 60, len(post(framing)) - 3, len(post(framing)) + 5, len(whole) - len(LAST) - 2):
        assert await answers(port, whole[:cut], whole[cut:]) == told, cut


async def test_requests_without_a_body_are_answered_too(port: int) -> None:
    get = b"GET /one HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n"
    assert await answers(port, get + get + LAST) == [b"GET|/one||host|"] * 2 + [LAST_ANSWER]


async def test_what_else_the_connection_header_says_stays(port: int) -> None:
    closing = UPGRADE.replace(b"Upgrade, HTTP2-Settings", b"close, upgrade")
    assert await answers(port, post(LENGTH, closing) + BODY) == [
        b"POST|/token|a=b|connection,content-length,host|" + BODY
    ]


async def test_websockets_are_not_begun(port: int) -> None:
    extra = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    assert (await answers(port, post(LENGTH, extra) + BODY + LAST))[1:] == [LAST_ANSWER]


async def test_a_tunnel_is_refused_at_once(port: int) -> None:
    """Whatever follows CONNECT would be another protocol too."""
    assert await answers(port, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n" + LAST) == [b""]


async def test_no_more_of_them_come_ahead_than_of_others(port: int) -> None:
    get = b"GET /one HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n"
    assert len(await answers(port, get * 400)) < 40
