"""Clients that send badly, slowly or nothing, and read nothing: what a connection may cost, and for how long.

uvicorn on httptools waits for a request's head for ever, takes one of any size, and any number of connections. The rules
here are those a proxy would hold; where one stands in front they cost nothing.
"""

from __future__ import annotations

import asyncio
import functools
import resource
from typing import ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from identity.cli.upgrades import UpgradeIgnorer, head_without_upgrade

HEAD_SECONDS = 8.0
"""How long the head of a request may take to arrive, from the first byte; on a new connection, from its beginning."""

STALLED_SECONDS = 30.0
"""How long a client may take nothing of an answer that waits for it."""

REST_SECONDS = 75.0
"""How long a connection may rest between two requests: longer than usual proxies keep one that they may still use."""

_STOPPING_SECONDS = 0.25
"""How long a stopping server listens on connections that rest: a request may be on its way."""

_MAX_HEAD_BYTES = 32 * 1024
_MAX_HEAD_LINES = 100
_MAX_AHEAD = 16
"""Requests that may arrive before the one in front of them is answered."""

_MAX_CONNECTIONS = 4096
_OTHER_DESCRIPTORS = 128
"""For stores, keys, the log, and the listener."""


@functools.cache
def connection_limit() -> int:
    """Returns how many connections this process keeps: as many as there are file descriptors for, once it has asked for
    all that it may have, so that there is always one left to reach a store with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_CONNECTIONS + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft) - _OTHER_DESCRIPTORS)


class SharedState(ServerState):
    """What all connections of a server know."""

    is_stopping = False
    """A connection that is made from now on is the last from its client, and says so with its first answer."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with an end to everything: time, size, requests ahead, connections.

    A connection waits for a request or is being answered. While it waits, whoever needs its place may have it.
    """

    _waiting: ClassVar[dict[GuardedProtocol, None]] = {}
    """Of the one server in this process: connections that wait for a request, the one that waits longest first."""

    server_state: SharedState
    _late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _in_head = False
    _in_message = False
    _head_bytes = 0
    _unheard_bytes = 0
    _is_stopping = False
    _refusal = 400

    # A connection begins and ends.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Makes room if there is none, then waits for the first request."""
        super().connection_made(transport)
        self.parser = UpgradeIgnorer(self, self._read_again)
        if self.server_state.is_stopping:
            self.shutdown()
        if len(self.connections) > connection_limit():
            idle = next(iter(self._waiting), self)
            self._waiting.pop(idle, None)
            idle.transport.close()
        self._wait()
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        super().connection_lost(exc)
        self._waiting.pop(self, None)
        self._cancel_deadline()
        self._stop_watching()

    def shutdown(self) -> None:
        """Answers what is being answered, and what comes within a moment."""
        self._is_stopping = True
        super_shutdown = super().shutdown
        if self._is_answering:
            super_shutdown()
        else:
            self.loop.call_later(_STOPPING_SECONDS, super_shutdown)

    # What arrives.

    def data_received(self, data: bytes) -> None:
        """Feeds the parser; what it keeps to itself for long is more than it may keep."""
        self._unheard_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unheard_bytes > _MAX_HEAD_BYTES:
            self._refuse(431)
        elif not self._is_answering:
            self._set_deadline()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Another piece of the target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header, or after a chunked body a trailer."""
        self._count(len(name) + len(value))
        if len(self.headers) >= _MAX_HEAD_LINES:
            self._refusal = 431
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: from here on the connection is being answered."""
        self._unheard_bytes = 0
        if self.parser.should_upgrade():
            return  # It will be read again, as if it had not asked.
        if len(self.pipeline) >= _MAX_AHEAD:
            raise ValueError("too many requests ahead")
        self._in_head = False
        self._cancel_deadline()
        self._waiting.pop(self, None)
        super().on_headers_complete()
        if self._is_stopping:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unheard_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of the request is there."""
        self._unheard_bytes = 0
        if self.parser.should_upgrade():
            return
        self._in_message = False
        super().on_message_complete()

    def _read_again(self, rest: bytes) -> None:
        """Parses the head that asked for another protocol once more without that, and then what came after it."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("there are no tunnels here")
        head = head_without_upgrade(b"%s %s HTTP/%s" % (method, self.url, version), self.headers)
        self.parser = UpgradeIgnorer(self, self._read_again)
        self.parser.feed_data(head + rest)

    # What leaves.

    def on_response_complete(self) -> None:
        """The next request's turn; its head may have begun already, or the body of this one may still be coming."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch()
        elif not self._is_answering:
            self._wait()
            if self._in_message:
                self._set_deadline()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it says nothing the status does not
        """The parser gave up, or one of our limits made it."""
        self._refuse(self._refusal)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._stop_watching()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, length: int) -> None:
        self._unheard_bytes = 0
        self._head_bytes += length
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refusal = 431
            raise ValueError("the head is too large")

    def _refuse(self, status: int) -> None:
        """Answers and closes; while another answer is due on this connection, only closes: it would be taken for that."""
        if not self._is_answering:
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _wait(self) -> None:
        self._waiting[self] = None

    def _set_deadline(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._is_late)

    def _cancel_deadline(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_late(self) -> None:
        self._late = None
        if self._in_head:
            self._refuse(408)
        else:
            self.transport.close()
        self._watch()

    def _watch(self) -> None:
        """Ends the connection when nothing leaves it for so long."""
        left = self.transport.get_write_buffer_size()
        if left and self._stalled is None:
            self._stalled = self.loop.call_later(STALLED_SECONDS, self._has_moved, left)

    def _has_moved(self, before: int) -> None:
        self._stalled = None
        if self.transport.get_write_buffer_size() < before:
            self._watch()
        else:
            self.transport.abort()

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
