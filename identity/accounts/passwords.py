"""Password hashing: argon2id, in a bounded pool of low-priority threads.

A login costs as much CPU as fifty refreshes. On the event loop it would stop everything; in an unbounded pool a flood of
logins would take every core. Here it gets one thread for each core, at the lowest priority, and a queue with an end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

T = TypeVar("T")

MIN_CHARACTERS = 8
MAX_CHARACTERS = 1024
"""Far above what a person types; a bound is needed because hashing reads all of it (U01: nothing is ever cut off)."""

_MAX_TYPED_CHARACTERS = 4 * MAX_CHARACTERS
"""NFC makes one character of at most four."""

_LOWEST_PRIORITY = 19

_DECOY = "$argon2id$v=19$m=19456,t=2,p=1$/19prngfcFUIPZtXeOr2jw$oqS9VP31qw8HRVCU+k+QDzde2EcZVi1WYDwrjd7RZd0"
"""The hash of random bytes nobody kept, with today's parameters: what a password is compared with where none is stored."""


class TooBusyError(Exception):
    """More logins are waiting than the queue takes."""


class Passwords:
    """Hashes and verifies passwords with OWASP's argon2id parameters (19 MiB, 2 passes, 1 lane: about 18 ms of a core)."""

    def __init__(self, threads: int = 0, queue: int = 64) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        width = threads or _usable_cores()
        self._pool = ThreadPoolExecutor(width, "passwords", initializer=_lower_priority)
        self._free = width + queue

    def require_room(self) -> None:
        """Raises `TooBusyError` when the queue is full: whoever would ask the stores first, for nothing, need not."""
        if self._free <= 0:
            raise TooBusyError

    async def hash(self, password: str) -> str:
        """Returns the PHC string to store for `password`."""
        return await self._run(lambda: self._hasher.hash(normalised(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tells whether `password` belongs to `stored`. With nothing stored a decoy is verified, at the same cost, so the
        time of an answer does not say whether the account exists (U05)."""
        matches = await self._run(lambda: _matches(self._hasher, stored or _DECOY, normalised(password)))
        return matches and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Tells whether `stored` was made with other parameters than today's; upgraded at the next login (U01)."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Ends the threads when they have finished what they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        self.require_room()
        self._free -= 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._release)
        return await future

    def _release(self, _future: object) -> None:
        self._free += 1


def normalised(password: str) -> str:
    """Returns the password in NFC, so that two keyboards which type the same characters agree; otherwise as received.

    One that stays too long in any case is left alone: putting a form full of marks in order would hold the interpreter, and
    with it the event loop, for 130 ms.
    """
    if len(password) > _MAX_TYPED_CHARACTERS:
        return password
    return unicodedata.normalize("NFC", password)


def is_acceptable(password: str) -> bool:
    """Tells whether a new password has 8 to 1024 characters; nothing is asked of its composition (U01)."""
    has_lone_surrogate = any("\ud800" <= character <= "\udfff" for character in password)
    return MIN_CHARACTERS <= len(normalised(password)) <= MAX_CHARACTERS and not has_lone_surrogate


def _matches(hasher: PasswordHasher, stored: str, password: str) -> bool:
    if len(password) > MAX_CHARACTERS:
        password = ""
    try:
        return hasher.verify(stored, password)
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False


def _usable_cores() -> int:
    # A container may be allowed fewer cores than the machine has.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _lower_priority() -> None:
    # Linux gives each thread a priority of its own; elsewhere it would slow the whole process.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
