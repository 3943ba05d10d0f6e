"""Runs the children of `identity dev`: all of them ready, or none of them left."""

import http.client
import os
import select
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from urllib.parse import urlsplit

from identity.store.processes import kill_child, start_child

READY_SECONDS = 30.0
DRAIN_SECONDS = 12.0
POLL_SECONDS = 0.05

# A closed terminal (SIGHUP) would otherwise end this process and, where children cannot be tied to it, leave them.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildFailedError(Exception):
    """A child did not do what it was started for; the message is one sentence for the person at the terminal."""


@dataclass(frozen=True)
class Child:
    """A program to run, and how to tell that it is ready: a URL that answers 200, or a function.

    `env` is the child's whole environment; without it the child has this process's. `trust` is whom an https URL needs.
    """

    name: str
    argv: Sequence[str]
    ready: str | Callable[[], bool]
    env: Mapping[str, str] | None = None
    trust: ssl.SSLContext | None = None

    def is_ready(self) -> bool:
        return _answers_ok(self.ready, self.trust) if isinstance(self.ready, str) else self.ready()


def _answers_ok(url: str, trust: ssl.SSLContext | None) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=1, context=trust)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=1)
    )
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Supervisor:
    """Starts children together and, whatever happens, leaves none of them running. Main thread only; runs once.

    `tend` is called whenever a process that this one started has ended, also one that is no child here: it restarts
    the private Valkey. What it raises ends the run. `say` receives the sentences for the person at the terminal.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        drain_seconds: float = DRAIN_SECONDS,
        ready_seconds: float = READY_SECONDS,
        tend: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda sentence: print(sentence, file=sys.stderr, flush=True),
    ) -> None:
        self._children = tuple(children)
        self._drain_seconds, self._ready_seconds = drain_seconds, ready_seconds
        self._tend, self._say = tend, say
        self._running: list[tuple[Child, subprocess.Popen[bytes]]] = []
        self._stopping = self._hurrying = False
        self._wakeup = -1

    def run(self, on_ready: Callable[[], None] = lambda: None) -> int:
        """Run until SIGINT or SIGTERM (0), or until something fails (1, after one sentence that names it)."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("A supervisor runs in the main thread, where signals arrive")
        with self._listening():
            try:
                self._start_all()
                if not self._stopping:
                    on_ready()
                self._watch()
            except ChildFailedError as failure:
                self._say(str(failure))
                return 1
            finally:
                self._stop_all()
        return 0

    def _start_all(self) -> None:
        for child in self._children:
            if self._stopping:
                return
            try:
                self._running.append((child, start_child(child.argv, child.env)))
            except OSError as error:
                raise ChildFailedError(f"{child.name} cannot run: {error}.") from error
        for child in self._children:
            self._await_ready(child)

    def _await_ready(self, child: Child) -> None:
        deadline = time.monotonic() + self._ready_seconds
        # The exits are looked at after the answer: a stranger on the port of a child that could not bind also answers.
        while not self._stopping:
            ready = child.is_ready()
            self._check_exits()
            if ready:
                return
            if time.monotonic() >= deadline:
                raise ChildFailedError(f"{child.name} was not ready within {self._ready_seconds:g} seconds.")
            self._wait(POLL_SECONDS)

    def _watch(self) -> None:
        while not self._stopping:
            self._check_exits()
            self._tend()
            self._wait(None)

    def _check_exits(self) -> None:
        for child, process in self._running:
            if process.poll() is not None and not self._stopping:
                raise ChildFailedError(f"{child.name} ended unexpectedly ({_how(process.returncode)}).")

    def _stop_all(self) -> None:
        """SIGTERM in reverse order, time to drain, then SIGKILL for those that are left."""
        self._stopping = True
        for _, process in reversed(self._running):
            process.terminate()
        deadline = time.monotonic() + self._drain_seconds
        while self._left() and not self._hurrying and (seconds := deadline - time.monotonic()) > 0:
            self._wait(seconds)
        killed = self._left()
        for _, process in killed:
            kill_child(process)
        for child, _ in killed:  # Said when nothing is left: the terminal may be gone, and writing to it fail.
            self._say(f"{child.name} did not stop and was killed.")

    def _left(self) -> list[tuple[Child, subprocess.Popen[bytes]]]:
        return [(child, process) for child, process in self._running if process.poll() is None]

    def _wait(self, seconds: float | None) -> None:
        """Return when a signal arrived (a child's end is one: SIGCHLD) or the time is over."""
        if select.select([self._wakeup], [], [], seconds)[0]:
            os.read(self._wakeup, 4096)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Signals set flags and wake `_wait`, also one that arrives just before it: the C handler writes the byte."""
        self._wakeup, written = os.pipe()
        os.set_blocking(written, False)
        handlers = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGCHLD)}
        if handlers[signal.SIGHUP] is signal.SIG_IGN:  # `nohup` asked to outlive the terminal.
            del handlers[signal.SIGHUP]
        before = signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        for number in handlers:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            os.close(self._wakeup)
            os.close(written)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number in STOP_SIGNALS:
            # Twice Ctrl-C is a person who will not wait; a repeated SIGTERM is an orchestrator that repeats itself.
            self._hurrying = self._hurrying or (self._stopping and number == signal.SIGINT)
            self._stopping = True


def _how(returncode: int) -> str:
    return f"killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exit code {returncode}"
