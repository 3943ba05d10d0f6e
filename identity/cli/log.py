"""Standard error of a server: whoever writes to it never waits, and a line that had to be left out is counted.

A pipe that nobody empties is full after 64 KiB. Writing to it stopped the event loop, and with it every request, and the
reaction to SIGTERM; so did nothing that was logged about it. Now lines wait in memory, and a thread of their own writes them.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import signal
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from types import FrameType

MAX_WAITING = 2 * 1024 * 1024
"""Characters of lines that wait for the reader: some 10,000 lines."""

_RETRY_SECONDS = 0.1
_LAST_WORDS_SECONDS = 1.0
"""How long the end of the process waits for its last lines to be taken."""


class PatientStream(io.TextIOBase):
    """A text stream over a file descriptor that keeps the order of lines and each of them whole.

    A write that fails (disk full, nobody there) is tried again, from the byte where it stopped, as one that blocks goes on.
    Beyond the bound lines are left out, until half of what waits was written; then the log says how many, in their place.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._begun = ""
        self._lines: deque[str] = deque()
        self._size = 0
        self._lost = 0
        # Reentrant, as is its lock: a signal handler may write in the middle of a write.
        self._changed = threading.Condition()
        threading.Thread(target=self._write_for_ever, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        """Takes text; what ends in a line break is written soon, and the beginning of a line together with its end."""
        with self._changed:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._take(line + "\n")
            self._changed.notify_all()
        return len(text)

    def fileno(self) -> int:
        """Returns the descriptor, for whoever cannot write through Python."""
        return self._target

    def isatty(self) -> bool:
        """Tells whether a person is reading."""
        return os.isatty(self._target)

    def writable(self) -> bool:
        """Always."""
        return True

    def drain(self, seconds: float = _LAST_WORDS_SECONDS) -> None:
        """Returns when everything is written, half lines too, or nobody took it for so long."""
        with self._changed:
            if self._begun:
                self.write("\n")
            self._changed.wait_for(lambda: not self._lines, seconds)

    def _take(self, line: str) -> None:
        if self._lost or self._size + len(line) > MAX_WAITING:
            self._lost += 1
        else:
            self._lines.append(line)
            self._size += len(line)

    def _write_for_ever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines[0]
            self._put(line.encode("utf-8", "backslashreplace"))
            with self._changed:
                self._lines.popleft()
                self._size -= len(line)
                if self._lost and self._size <= MAX_WAITING // 2:
                    lost, self._lost = self._lost, 0
                    self._take(_gap(lost))
                if not self._lines:
                    self._changed.notify_all()

    def _put(self, data: bytes) -> None:
        # One line, one call: a pipe that several processes write to keeps such lines whole.
        while data:
            try:
                data = data[os.write(self._target, data) :]
            except OSError:
                time.sleep(_RETRY_SECONDS)


def _gap(lines: int) -> str:
    event = {"lines": lines, "event": "log lines were left out, for nobody took them", "level": "error"}
    return json.dumps({**event, "timestamp": datetime.now(UTC).isoformat()}) + "\n"


def be_patient() -> None:
    """Puts a `PatientStream` in the place of this process's standard error, and has its last words written however the
    process ends: by itself, by an exception, or by the signal that a server raises once more when it has stopped."""
    if sys.stderr is None:  # It was closed by whoever started this process.
        return
    stream = sys.stderr = PatientStream(sys.stderr.fileno())
    atexit.register(stream.drain)

    def end(number: int, _frame: FrameType | None) -> None:
        stream.drain()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, end)
