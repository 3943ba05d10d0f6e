"""F21: clients that send badly, slowly or nothing, at a server that others use meanwhile, with and without nginx in front."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from bystander import Bystander, memory_of, percentile
from dev_process import free_ports
from laboratory import Installation, installation
from tally import Experiment, Figures

LET_GO_SECONDS = 10.0
GROWTH_BYTES = 50_000_000
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
POST = b"POST /token HTTP/1.1\r\nHost: x\r\n"
PROXY_SAYS = (400, 413, 414, 502, 504)
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"

Abuse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def sent(*pieces: bytes, pause: float = 0.0) -> Abuse:
    """Sends pieces, and says nothing more."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return send


def dripping(head: bytes, drops: bytes) -> Abuse:
    return sent(head, *(bytes([drop]) for drop in drops * 200), pause=0.2)


async def half_closed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(POST + FORM + b"Content-Length: 100\r\n\r\ngrant")
    writer.write_eof()


CHUNK = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
DEEP = b"[" * 20_000
ABUSES: dict[str, tuple[Abuse, tuple[int, ...], int]] = {
    # what is sent, what may be answered (0: closed without a word), on how many connections at once
    "slow head": (dripping(b"GET /health/live HTTP/1.1\r\nX: ", b"a"), (408, 0), 100),
    "nothing": (sent(), (0,), 500),
    "slow body": (dripping(POST + FORM + b"Content-Length: 1000\r\n\r\n", b"a"), (408,), 100),
    "10 MB form": (sent(POST + FORM + b"Content-Length: 10000000\r\n\r\n", *[b"a" * 10_000] * 1000), (413, 0), 20),
    "10 MB in chunks": (sent(POST + FORM + b"Transfer-Encoding: chunked\r\n\r\n", *[CHUNK] * 160), (413, 0), 20),
    "100,000 fields": (
        sent(POST + FORM + b"Content-Length: 60000\r\n\r\n" + (b"a=&" * 20_000)),
        (400,),
        20,
    ),
    "deep JSON": (
        sent(POST + b"Content-Type: application/json\r\nContent-Length: 20000\r\n\r\n" + DEEP),
        (415,),
        20,
    ),
    "64 KB header": (
        sent(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 65_536 + b"\r\n\r\n"),
        (431, 400, 0),
        20,
    ),
    "5,000 requests ahead": (sent(GET * 5000), (200, 400, 0), 20),
    "half closed": (half_closed, (400, 408, 0), 50),
}


@pytest.mark.parametrize("front", ["alone", "nginx"])
async def test_whoever_abuses_a_server_is_let_go_and_others_hardly_notice(experiment, tmp_path, made_keys, front):
    """F21: answered or closed within 10 s, in bounded memory; what others wait is measured in turns with and without abuse."""
    f21 = experiment(
        f"F21-{front}", "slow, huge and malformed requests" + (", behind nginx" if front == "nginx" else "")
    )
    rounds, worst = f21.rounds(short=1, long=3), 0.0
    async with installation(tmp_path, made_keys, count=1) as lab, in_front(lab, front, tmp_path) as port:
        user = Bystander(port)
        await user.log_in()
        pid, before = lab.replicas[0].pid, memory_of(lab.replicas[0].pid)
        quiet: list[float] = []
        abused: list[float] = []
        for names in [[name] for name in ABUSES] * rounds if f21.is_long else [list(ABUSES)]:
            quiet += await user.refresh_for(0.5)
            clients = [
                asyncio.create_task(suffered(port, name, front == "nginx"))
                for name in names
                for _ in range(counted(name, f21))
            ]
            abused += await user.refresh_for(0.5)
            worst = max(worst, *await asyncio.gather(*clients))
        quiet += await user.refresh_for(1)
        grown = memory_of(pid) - before
        await user.wire.close()
    p99, base = percentile(abused), percentile(quiet)
    note = f"others' p99 {p99 * 1000:.0f} ms, undisturbed {base * 1000:.0f} ms; grown by {grown / 1e6:.0f} MB"
    f21.record(Figures(f21.fault, rounds, len(quiet + abused), rounds * len(ABUSES), 0, 0, p99, worst, notes=[note]))
    assert worst < LET_GO_SECONDS + 1
    assert grown < GROWTH_BYTES
    if f21.is_long:
        assert p99 < 2 * base


def counted(name: str, f21: Experiment) -> int:
    return ABUSES[name][2] if f21.is_long else 5


async def suffered(port: int, name: str, is_proxied: bool) -> float:
    """After how long one such client was let go; it is answered as it may be, or not at all."""
    abuse, allowed, _ = ABUSES[name]
    began, arrived = time.monotonic(), b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.create_task(abuse(reader, writer))
    try:
        async with asyncio.timeout(30):
            while data := await reader.read(65536):
                arrived = arrived or data
                if b"\r\n\r\n" in arrived and b" 200 " not in arrived[:16]:
                    break
    except ConnectionError:
        arrived = arrived or bytes(reader._buffer)
    took = time.monotonic() - began
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.close()
    status = int(arrived.split(b" ", 2)[1]) if arrived else 0
    assert status in (*allowed, *(PROXY_SAYS if is_proxied else ())), (name, status)
    return took


@contextlib.asynccontextmanager
async def in_front(lab: Installation, front: str, folder: Path) -> AsyncIterator[int]:
    """The port that clients use."""
    if front == "alone":
        yield lab.replicas[0].port
        return
    (port,) = free_ports(1)
    program = shutil.which("nginx")
    assert program, "Debian's nginx is needed: apt-get install nginx-light"
    written = folder / "nginx.conf"
    written.write_text(NGINX.format(folder=folder, port=port, server=lab.replicas[0].port))
    process = await asyncio.create_subprocess_exec(program, "-p", str(folder), "-c", str(written), "-e", "stderr")
    try:
        async with asyncio.timeout(10):
            while not listens(port):
                await asyncio.sleep(0.02)
        yield port
    finally:
        process.terminate()
        await process.wait()


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; client_max_body_size 64k;
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  client_header_timeout 8s; client_body_timeout 8s; keepalive_timeout 8s; lingering_timeout 1s; lingering_time 2s;
  upstream identity {{ server 127.0.0.1:{server}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://identity; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_set_header Host $host; proxy_request_buffering off;
    }}
  }}
}}
"""


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
