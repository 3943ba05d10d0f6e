"""The load generator: a process of its own that sends requests over kept-alive connections and times the answers.

It reads a specification as JSON on standard input and writes its result as JSON on standard output. Two kinds of load:
closed (each connection sends its next request when its answer is in: how many per second?) and open (requests are due at
fixed times whatever happens to the earlier ones, and latency counts from when they were due). Standard library only.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

DRAIN_SECONDS = 15.0
_MARK = b'"refresh_token":"'


class Requests:
    """What is sent next: fixed requests in turn, or refreshes, each with the newest token of some session."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._fixed = [request.encode() for request in spec.get("requests", [])]
        self._next = 0
        self.tokens: deque[bytes] = deque(token.encode() for token in spec.get("tokens", []))
        self._before = f"POST {spec.get('path')} HTTP/1.1\r\nHost: {spec['host']}:{spec['port']}\r\n".encode()
        self._form = spec.get("form", "").encode()

    def take(self) -> tuple[bytes, bytes]:
        """Returns one request, ready to send, and the refresh token in it."""
        if self._fixed:
            self._next = (self._next + 1) % len(self._fixed)
            return self._fixed[self._next], b""
        token = self.tokens.popleft()
        body = b"grant_type=refresh_token&%s&refresh_token=%s" % (self._form, token)
        head = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body)
        return self._before + head + body, token

    def learn(self, answer: bytes, token: bytes) -> None:
        """Keeps the refresh token that came back, for a later request; the old one if none did."""
        if self._fixed:
            return
        if (start := answer.find(_MARK)) > 0:
            start += len(_MARK)
            token = answer[start : answer.index(b'"', start)]
        self.tokens.append(token)


@dataclass(slots=True, eq=False)
class Connection:
    """One kept-alive connection and the answer that is arriving on it. `due` is when its request should have been sent."""

    socket: socket.socket
    due: float = 0.0
    received: bytes = b""
    token: bytes = b""

    def fileno(self) -> int:
        """The descriptor, for `select`."""
        return self.socket.fileno()

    def send(self, requests: Requests, due: float) -> None:
        """Sends the next request; it fits the socket's buffer."""
        request, self.token = requests.take()
        self.due, self.received = due, b""
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Returns the answer once it is complete."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.received[:end].lower()
        start = head.find(b"content-length: ") + 16
        length = int(head[start:].split(b"\r\n", 1)[0]) if start > 15 else 0
        return self.received if len(self.received) >= end + 4 + length else None


@dataclass(slots=True)
class Count:
    """What was seen: every answer in `total`, those inside the measured time in `counted` and `latencies`."""

    begin: float
    end: float
    total: int = 0
    counted: int = 0
    refused: int = 0
    sample: str = ""
    latencies: list[float] = field(default_factory=list)

    def add(self, answer: bytes, due: float, now: float) -> None:
        """Counts one answer."""
        if answer[9:12] == b"200":
            self.succeed(due, now)
        else:
            self.refuse(answer[:600].decode(errors="replace"))

    def succeed(self, due: float, now: float) -> None:
        """Counts one that was what it should be."""
        self.total += 1
        if self.begin <= now < self.end:
            self.counted += 1
            self.latencies.append(now - due)

    def refuse(self, sample: str) -> None:
        """Counts one that was no success."""
        self.total += 1
        self.refused += 1
        self.sample = sample


def closed(spec: dict[str, Any], requests: Requests, count: Count) -> None:
    """Keeps every connection busy until the time is over, then waits for what is under way."""
    poll, connections = select.epoll(), {}
    for _ in range(spec["connections"]):
        connection = Connection(connect(spec))
        connections[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
        connection.send(requests, time.perf_counter())
    waiting = len(connections)
    while waiting and time.perf_counter() < count.end + DRAIN_SECONDS:
        for descriptor, _ in poll.poll(1.0):
            connection = connections[descriptor]
            answer = connection.receive()
            if answer is None:
                continue
            now = time.perf_counter()
            requests.learn(answer, connection.token)
            count.add(answer, connection.due, now)
            if now < count.end:
                connection.send(requests, now)
            else:
                waiting -= 1


def opened(spec: dict[str, Any], requests: Requests, count: Count) -> None:
    """Sends at a fixed rate, each request on a free connection, and opens more connections when all are busy."""
    step, due = 1 / spec["rate"], time.perf_counter()
    free: list[Connection] = [Connection(connect(spec)) for _ in range(spec["connections"])]
    busy: set[Connection] = set()
    while due < count.end or (busy and time.perf_counter() < count.end + DRAIN_SECONDS):
        while due <= time.perf_counter() and due < count.end:
            connection = free.pop() if free else Connection(connect(spec))
            connection.send(requests, due)
            busy.add(connection)
            due += step
        pause = max(0.0, due - time.perf_counter()) if due < count.end else 1.0
        for connection in select.select(busy, [], [], pause)[0]:
            answer = connection.receive()
            if answer is not None:
                requests.learn(answer, connection.token)
                count.add(answer, connection.due, time.perf_counter())
                busy.discard(connection)
                free.append(connection)


def connect(spec: dict[str, Any]) -> socket.socket:
    """Opens a connection to the server that is loaded."""
    connection = socket.create_connection((spec["host"], spec["port"]), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def main() -> None:
    """Runs one load and reports it."""
    spec = json.load(sys.stdin)
    requests, start = Requests(spec), time.perf_counter()
    begin = start + spec["warm_up"]
    count = Count(begin, begin + spec["seconds"])
    (opened if spec.get("rate") else closed)(spec, requests, count)
    report(count, spec["seconds"], start, requests.tokens)


def report(count: Count, seconds: float, start: float, tokens: Iterable[bytes]) -> None:
    """Writes what came of a load that was started at `start`, and counted for `seconds`."""
    latencies = sorted(count.latencies) or [0.0]
    result = {
        "rate": count.counted / seconds,
        "total": count.total,
        "refused": count.refused,
        "sample": count.sample,
        "elapsed": time.perf_counter() - start,
        "cpu": time.process_time(),
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[int(len(latencies) * 0.99)],
        "tokens": [token.decode() for token in tokens],
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
