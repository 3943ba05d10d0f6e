"""The service under test: one address the operator named, and requests to it, nothing else and nobody else."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from identity.checking.attacks.attack import CLOSED
from identity.checking.material import Request

ANSWER_SECONDS: Final = 5.0
"""How long an answer may take; an attack that takes longer is a way to keep the service busy."""

SILENT: Final = -1
"""In the place of a status: no answer in time."""

_MAX_BODY: Final = 64 * 1024


class CannotCheck(Exception):
    """The run cannot begin or go on; the sentence says what is missing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, or `CLOSED` or `SILENT`, and what it said."""

    status: int
    challenge: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """True when the request was served."""
        return 200 <= self.status < 300

    def __str__(self) -> str:
        return {CLOSED: "closed", SILENT: f"silent for {ANSWER_SECONDS:.0f} s"}.get(self.status, str(self.status))


class Service:
    """Sends requests to one protected address, each on a connection of its own. Redirects are not followed."""

    def __init__(self, url: str, method: str = "GET") -> None:
        self._address = _address(url)
        self._method = method.upper()
        self._tls = ssl.create_default_context() if self._address.scheme == "https" else None

    @property
    def is_local(self) -> bool:
        """True when the address is on this machine."""
        host = self._address.hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def send(self, request: Request) -> Answer:
        """Returns the answer; a connection that is refused or breaks is one too."""
        connection = self._connection()
        try:
            self._write(connection, request)
            response = connection.getresponse()
            challenge = ", ".join(response.headers.get_all("WWW-Authenticate", []))
            return Answer(response.status, challenge, _beginning(response))
        except TimeoutError:
            return Answer(SILENT)
        except (OSError, http.client.HTTPException):
            return Answer(CLOSED)
        finally:
            connection.close()

    def _write(self, connection: http.client.HTTPConnection, request: Request) -> None:
        query = "&".join(filter(None, (self._address.query, request.query)))
        target = (self._address.path or "/") + (f"?{query}" if query else "")
        connection.putrequest(self._method, target, skip_accept_encoding=True)
        connection.putheader("Accept", "application/json")
        if self._method not in ("GET", "HEAD"):
            connection.putheader("Content-Length", "0")
        for name, value in request.headers:
            connection.putheader(name, value.encode("latin-1"))
        with suppress(BrokenPipeError, ConnectionResetError):  # refused half-way; the answer may have come all the same
            connection.endheaders()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)


def _beginning(response: http.client.HTTPResponse) -> bytes:
    """Returns the body, as far as it comes: a stream that never ends has been answered all the same."""
    try:
        return response.read(_MAX_BODY)
    except (OSError, http.client.HTTPException):
        return b""


def _address(url: str) -> SplitResult:
    try:
        address = urlsplit(url)
        is_usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or address.username is not None:
        raise CannotCheck(f"{url} is not an http or https address")
    return address
