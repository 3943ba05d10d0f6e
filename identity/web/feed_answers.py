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
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from identity.feed.picture import Picture
from identity.feed.rules import Head, NumberedRule

_RULES_IN_A_TURN = 2_000
"""Takes a few milliseconds."""

_TURN_BYTES = 40_000
"""After a piece that is longer, others have their turn."""

_REUSE_SECONDS = 1.0
"""How long a whole picture may be given out although the head has moved: its reader asks for the rest at once."""

_MAX_KEPT = 64
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952 section 2.3: deflate, no name, no time, unknown system."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules' part of an answer. `head` is how far it goes, `complete_at` (monotonic) when it was certainly everything as it
    was written; see `FeedAnswers.age_of`."""

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
    """Keeps the rules' part for each cursor, in each form that is asked for: rows, or columns. `age` tells how long ago this
    process last knew that it had seen everything."""

    def __init__(self, picture: Callable[[], Picture], age: Callable[[], float]) -> None:
        self._picture = picture
        self._age = age
        self._built: dict[tuple[Head | None, bool], asyncio.Task[Rules]] = {}

    async def rules_after(self, cursor: Head | None, *, columns: bool = False) -> Rules:
        """Returns every live rule after `cursor`, or all of them. A caller that is cancelled leaves the others their answer."""
        task = self._built.get((cursor, columns))
        if task is None or not self._is_good(task, cursor):
            if len(self._built) >= _MAX_KEPT:
                self._built.clear()
            task = asyncio.get_running_loop().create_task(self._build(cursor, columns))
            self._built[cursor, columns] = task
        return await asyncio.shield(task)

    def age_of(self, rules: Rules) -> float:
        """Returns how many seconds ago `rules` were certainly everything. While the head stands where they end, every new
        confirmation of it confirms them, too: a feed in which nothing happens does not grow stale."""
        return self._age() if rules.head == self._picture().head else time.monotonic() - rules.complete_at

    def _is_good(self, task: asyncio.Task[Rules], cursor: Head | None) -> bool:
        if not task.done():
            return True  # It goes as far as it can honestly say; its reader asks for the rest at once.
        if task.cancelled() or task.exception() is not None:
            return False
        rules, head = task.result(), self._picture().head
        is_young = cursor is None and time.monotonic() - rules.complete_at < _REUSE_SECONDS
        return rules.head == head or (is_young and rules.head.epoch == head.epoch)

    async def _build(self, cursor: Head | None, columns: bool) -> Rules:
        picture, complete_at = self._picture(), time.monotonic() - self._age()
        head, rules = picture.head, picture.since(cursor.seq if cursor else 0, time.time())
        compressor, checksum = zlib.compressobj(wbits=-zlib.MAX_WBITS), 0
        plain: list[bytes] = []
        deflated: list[bytes] = []
        for piece in _pieces(rules, columns):
            plain.append(piece)
            deflated.append(compressor.compress(piece))
            checksum = zlib.crc32(piece, checksum)
            if len(piece) > _TURN_BYTES:
                await asyncio.sleep(0)
        deflated.append(compressor.flush(zlib.Z_FULL_FLUSH))
        return Rules(head, complete_at, b"".join(plain), b"".join(deflated), checksum)


def _pieces(rules: Iterator[NumberedRule], columns: bool) -> Iterator[bytes]:
    written = _blocks if columns else _rows
    yield b'{"columns":[' if columns else b'{"rules":['
    separator = b""
    while some := list(islice(rules, _RULES_IN_A_TURN)):
        yield separator + json.dumps(written(some), separators=(",", ":")).encode()[1:-1]
        separator = b","
    yield b"],"


def _rows(rules: list[NumberedRule]) -> list[object]:
    return [(rule.seq, rule.kind, _digests([rule]), rule.expires_at) for rule in rules]


def _blocks(rules: list[NumberedRule]) -> list[object]:
    """One for each kind: numbers as differences, digests joined, and for all of them the time when the last one expires."""
    alike: defaultdict[tuple[str, bool], list[NumberedRule]] = defaultdict(list)
    for rule in rules:
        alike[rule.kind, rule.expires_at is None].append(rule)
    blocks: list[object] = []
    for (kind, is_lasting), some in alike.items():
        seqs = [some[0].seq, *(later.seq - earlier.seq for earlier, later in pairwise(some))]
        expires_at = None if is_lasting else max(rule.expires_at or 0 for rule in some)
        blocks.append({"kind": kind, "expires_at": expires_at, "seqs": seqs, "digests": _digests(some)})
    return blocks


def _digests(rules: list[NumberedRule]) -> str:
    return base64.urlsafe_b64encode(b"".join(rule.digest for rule in rules)).rstrip(b"=").decode()
