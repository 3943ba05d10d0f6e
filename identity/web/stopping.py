"""Hearing of a stop before the web server lets the application know, and leaving the balancer before the door shuts."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether this server was told to stop. `delay` is how long it then goes on answering, for all that still come: its
    readiness is red, and each answer closes its connection, so that a balancer sends everybody elsewhere."""

    def __init__(self, delay: float = 0) -> None:
        self.delay = delay
        self.has_begun = False


@contextmanager
def on_stop_signal(stop: Stop, react: Callable[[], None]) -> Iterator[None]:
    """Calls `react` in the event loop when SIGINT or SIGTERM arrives, before whoever handled it until now; after SIGTERM,
    and only there, both have to wait for the delay. Ctrl-C comes from a person.

    The web server first waits for every request to end and only then tells the application; a feed poll that waits for
    news would hold it up for as long as it lets anyone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def pass_on(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(react)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def handle(number: int, frame: FrameType | None) -> None:
        is_first, stop.has_begun = not stop.has_begun, True
        if number == signal.SIGINT or not stop.delay:
            pass_on(number, frame)
        elif is_first:  # A repeated SIGTERM is an orchestrator that repeats itself.
            loop.call_soon_threadsafe(loop.call_later, stop.delay, pass_on, number, None)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
