"""A small HTTP server on loopback, in a thread: it answers, stays silent, dies and comes back on the same port."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a GET is answered."""

    status: int = 200
    body: bytes = b"{}"
    max_age: int | None = None


Respond = Callable[[str], Reply | None]
"""Path and query to a reply, or to nothing: then the connection is closed without a word."""


class LoopbackServer:
    """Serves `respond` between `start` and `stop`. Port 0 means any free one, which is then kept."""

    def __init__(self, respond: Respond, port: int = 0) -> None:
        self._respond = respond
        self._server: _Server | None = None
        self.port = port

    def start(self) -> None:
        """Listens, and serves in a thread of its own; returns when connections are taken."""
        if self._server is not None:
            return
        server = _Server((HOST, self.port), _handler_of(self._respond))
        self.port = server.server_address[1]
        # A short interval, because stopping waits for it.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Takes no more connections and cuts those there are, as a server does that dies."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut_connections()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        self._changing = threading.Lock()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # The inherited one asks the name service for our host name, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._changing:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._changing:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """Ends every connection; its thread notices and is gone."""
        with self._changing:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to report."""


def _handler_of(respond: Respond) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            reply = respond(self.path)
            if reply is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply.body)))
            if reply.max_age is not None:
                self.send_header("Cache-Control", f"public, max-age={reply.max_age}")
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:
            """The output of tests is no access log."""

    return Handler
