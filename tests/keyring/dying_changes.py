"""A program that changes a keyring and dies at a step of it: `dying_changes.py KIND URL MASTER rotation|refresh`.

For each step, from the first, it waits for a line, and forks a child that makes one change and kills itself (SIGKILL) when
it comes to that step: a call to the system for a folder, a statement or commit for SQL. What became of the child is one
line. It ends when a change is through before its step comes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

from key_places import promoted, record_of, rotate_refresh_key
from sqlalchemy import event

from identity.keyring.folder import KeyFolder
from identity.keyring.place import KeyPlace
from identity.keyring.sealing import MasterKey, MasterKeys
from identity.keyring.states import KeyState
from identity.store.sql.engine import Database
from identity.store.sql.keys import SqlKeys

SYSTEM_CALLS = ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "fcntl.flock", "os.listdir", "os.scandir")
SPARE = 6


class Countdown:
    """Kills this process at the n-th step."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.running = False

    def step(self, *_: object) -> None:
        if self.running:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def place_of(kind: str, url: str, master: str, countdown: Countdown) -> KeyPlace:
    if kind == "folder":
        sys.addaudithook(lambda name, _: countdown.step() if name in SYSTEM_CALLS else None)
        return KeyFolder(Path(url))
    database = Database(url)
    for name in ("before_cursor_execute", "commit"):
        event.listen(database.engine.sync_engine, name, countdown.step)
    return SqlKeys(database, MasterKeys(MasterKey.parse(master)))


async def change(place: KeyPlace, countdown: Countdown, which: str) -> None:
    """A rotation that also retires a key, or one that replaces the refresh key: files or rows come and go in both."""
    old = await place.read()
    if which == "rotation":
        new, private = promoted(old.retired(2**40))
        countdown.running = True
        await place.replace(old, new, private)
    else:
        countdown.running = True
        await rotate_refresh_key(place, oldest=2**40)
    countdown.running = False


def main(kind: str, url: str, master: str, which: str) -> None:
    for number in range(SPARE):
        record_of(number, KeyState.NEXT)  # Made before the forks, so that each of them has it.
    for steps in count():
        sys.stdin.readline()
        child = os.fork()
        if not child:
            countdown = Countdown(steps)
            asyncio.run(change(place_of(kind, url, master, countdown), countdown, which))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("died" if died else f"through {status}", flush=True)
        if not died:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
