"""A server on an event loop of its own thread, for tests that cannot wait: Hypothesis runs plain functions."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterator, MutableMapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from httpx2 import ASGITransport, AsyncClient, Response
from issuer_in_process import ISSUER, Issuer, dev_settings, running
from structlog.testing import capture_logs

Result = TypeVar("Result")
_SECONDS = 60


class Log(logging.Handler):
    """Everything that was said since it was emptied, in whichever way."""

    def __init__(self, events: list[MutableMapping[str, Any]]) -> None:
        super().__init__(logging.DEBUG)
        self._events = events
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    def empty(self) -> None:
        self._events.clear()
        self._lines.clear()

    @property
    def text(self) -> str:
        return "\n".join([*map(repr, self._events), *self._lines])


@dataclass
class Browser:
    """Somebody with cookies of their own; no redirect is followed."""

    server: BackgroundIssuer
    http: AsyncClient

    def send(self, method: str, path: str, **options: Any) -> Response:
        return self.server.wait_for(self.http.request(method, path, **options))

    def close(self) -> None:
        self.server.wait_for(self.http.aclose())


@dataclass
class BackgroundIssuer:
    """The running server, as seen from another thread."""

    loop: asyncio.AbstractEventLoop
    issuer: Issuer
    log: Log
    secrets: dict[str, str] = field(default_factory=dict)
    """Of the confidential clients that the tests registered."""

    def wait_for(self, work: Coroutine[Any, Any, Result]) -> Result:
        waiting: Future[Result] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return waiting.result(_SECONDS)

    def browser(self) -> Browser:
        """Somebody new, who sends what it is told to and nothing twice."""
        # An unforeseen error becomes an answer of the server, or fails the test here.
        transport = ASGITransport(app=self.issuer.app, client=("127.0.0.1", 40000))
        return Browser(self, AsyncClient(transport=transport, base_url=ISSUER))


@contextmanager
def in_background(folder: Path, **changes: Any) -> Iterator[BackgroundIssuer]:
    """Starts the server, and stops it; what it says meanwhile is kept and printed nowhere."""
    started: Future[tuple[asyncio.AbstractEventLoop, Issuer, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            async with running(dev_settings(folder, **changes)) as issuer:
                started.set_result((asyncio.get_running_loop(), issuer, stop))
                await stop.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    with capture_logs() as events:
        log = Log(events)
        logging.getLogger().addHandler(log)
        thread = threading.Thread(target=asyncio.run, args=(serve(),), name="issuer", daemon=True)
        thread.start()
        loop, issuer, stop = started.result(_SECONDS)
        try:
            yield BackgroundIssuer(loop, issuer, log)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(_SECONDS)
            logging.getLogger().removeHandler(log)
