"""The answers of the revocation feed: built once for all verifiers that stand at the same cursor, plain and compressed.

A whole picture may hold a million rules. It is written a little at a time, so that nothing else waits for it, and whoever asks
meanwhile joins in. The rules come first in the document: their compressed form, and its checksum, are made once, and only the
few bytes that differ from answer to answer are added to it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from identity.feed.picture import Picture
from identity.feed.rules import Head, NumberedRule

_RULES_IN_A_TURN = 2_000
"""Takes a few milliseconds."""

_REUSE_SECONDS = 1.0
"""How long a whole picture may be given out although the head has moved: its reader asks for the rest at once."""

_MAX_KEPT = 64
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952 section 2.3: deflate, no name, no time, unknown system."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules' part of an answer. `head` is how far it goes, `complete_at` (monotonic) when that was certainly everything."""

    head: Head
    complete_at: float
    text: bytes
    _deflated: bytes
    _checksum: int

    def plain(self, rest: bytes) -> bytes:
        """Returns the document that ends with `rest`."""
        return self.text + rest

    def compressed(self, rest: bytes) -> bytes:
        """Returns the same as one gzip member: two deflate streams may follow each other where the first was fully flushed."""
        last = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        tail = last.compress(rest) + last.flush()
        checksum, length = zlib.crc32(rest, self._checksum), len(self.text) + len(rest)
        return b"".join((_GZIP_HEADER, self._deflated, tail, struct.pack("<II", checksum, length & 0xFFFFFFFF)))


class FeedAnswers:
    """Keeps the rules' part for each cursor. `age` tells how long ago this process last knew that it had seen everything."""

    def __init__(self, picture: Callable[[], Picture], age: Callable[[], float]) -> None:
        self._picture = picture
        self._age = age
        self._built: dict[Head | None, asyncio.Task[Rules]] = {}

    async def rules_after(self, cursor: Head | None) -> Rules:
        """Returns every live rule after `cursor`, or all of them. A caller that is cancelled leaves the others their answer."""
        task = self._built.get(cursor)
        if task is None or not self._is_good(task, cursor):
            if len(self._built) >= _MAX_KEPT:
                self._built.clear()
            task = self._built[cursor] = asyncio.get_running_loop().create_task(self._build(cursor))
        return await asyncio.shield(task)

    def age_of(self, rules: Rules) -> float:
        """Returns seconds since `rules` were certainly everything. As long as the head stays they are as complete as what this
        process knows now, whenever they were written down; a verifier told otherwise would call itself stale."""
        return self._age() if rules.head == self._picture().head else time.monotonic() - rules.complete_at

    def _is_good(self, task: asyncio.Task[Rules], cursor: Head | None) -> bool:
        if not task.done():
            return True  # It goes as far as it can honestly say; its reader asks for the rest at once.
        if task.cancelled() or task.exception() is not None:
            return False
        rules, head = task.result(), self._picture().head
        is_young = cursor is None and time.monotonic() - rules.complete_at < _REUSE_SECONDS
        return rules.head == head or (is_young and rules.head.epoch == head.epoch)

    async def _build(self, cursor: Head | None) -> Rules:
        picture, complete_at = self._picture(), time.monotonic() - self._age()
        head, rules = picture.head, picture.since(cursor.seq if cursor else 0, time.time())
        compressor, plain, deflated = zlib.compressobj(wbits=-zlib.MAX_WBITS), bytearray(), bytearray()
        for piece in _pieces(rules):
            plain += piece
            deflated += compressor.compress(piece)
            if len(rules) > _RULES_IN_A_TURN:
                await asyncio.sleep(0)
        deflated += compressor.flush(zlib.Z_FULL_FLUSH)
        return Rules(head, complete_at, bytes(plain), bytes(deflated), zlib.crc32(plain))


def _pieces(rules: Sequence[NumberedRule]) -> Iterator[bytes]:
    yield b'{"rules":['
    for start in range(0, len(rules), _RULES_IN_A_TURN):
        some = [_wire(rule) for rule in rules[start : start + _RULES_IN_A_TURN]]
        yield (b"," if start else b"") + json.dumps(some, separators=(",", ":")).encode()[1:-1]
    yield b"],"


def _wire(rule: NumberedRule) -> list[object]:
    digest = base64.urlsafe_b64encode(rule.digest).rstrip(b"=").decode()
    return [rule.seq, rule.kind, digest, rule.expires_at]
