"""Installations of `identity dev`, and nothing of them left over."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from dev_process import Dev
from wire import Wire


@pytest.fixture
def make_dev(tmp_path) -> Iterator:
    """Makes installations, and leaves nothing of them running."""
    made: list[Dev] = []

    def make(**settings: str) -> Dev:
        folder = tmp_path / f"installation{len(made)}"
        folder.mkdir()
        made.append(Dev(folder, settings))
        return made[-1]

    yield make
    for dev in made:
        if dev.process is not None and dev.process.poll() is None:
            dev.stop()
        for pid in dev.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def connect() -> AsyncIterator:
    """Opens connections to servers, and closes them."""
    wires: list[Wire] = []

    def open_one(url: str) -> Wire:
        wires.append(Wire(url))
        return wires[-1]

    yield open_one
    for wire in wires:
        await wire.close()


@pytest.fixture
def dev(make_dev) -> Dev:
    """A running installation with the default settings."""
    installation = make_dev()
    installation.start()
    return installation
