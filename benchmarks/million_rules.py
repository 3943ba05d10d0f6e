"""The processes that are measured with a million revocation rules, each this module with another word.

`check` asks pictures about tokens, `serve` is an issuer whose answer comes from the server's own picture, and `follow` is a
service whose verifier takes that answer over. Each imports what it needs and no more: what else lies about in its memory would
be measured too.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.rounds import interleave

if TYPE_CHECKING:
    from identity.feed.picture import Picture as ServerPicture
    from identity.verifier.revocations import Picture
    from identity.verifier.signatures import PublicKey
    from identity.verifier.token import VerifiedToken
    from identity.web.feed_answers import Rules

MANY = 1_000_000

_ASKED = 5_000
"""Tokens that each round asks about: their names are too many for a processor to remember where it found none of them."""

_HOST = "127.0.0.1"
_AUDIENCE = "http://orders.example"
_EXPIRES_AT = 4_000_000_000
_ENVELOPE = {"epoch": "e", "seq": MANY, "snapshot": True, "as_of_age": 0, "jwks_version": "k"}


def _server_picture(count: int) -> ServerPicture:
    """A picture as a server has it: most rules end a session, some are about a person or a single token."""
    from identity.feed.picture import Picture
    from identity.feed.rules import Head, NumberedRule

    kinds = ["grant_id"] * 18 + ["sub", "jti"]
    numbers = range(1, count + 1)
    rules = (
        NumberedRule(seq, kinds[seq * 7 % 20], os.urandom(16), seq * 7 % 20 < 19, _EXPIRES_AT + seq // 1000)
        for seq in numbers
    )
    return Picture.of(Head("e", count), rules)


async def _written(picture: ServerPicture) -> Rules:
    from identity.web.feed_answers import FeedAnswers

    return await FeedAnswers(lambda: picture, lambda: 0.0).rules_after(None, columns=True)


def _ending() -> bytes:
    return json.dumps(_ENVELOPE).encode()[1:]


async def _check(question: dict[str, Any]) -> dict[str, list[float]]:
    """Returns CPU seconds for each check, and for each raw verify; the tokens are older than every rule."""
    from identity.verifier import Verifier
    from identity.verifier.feed_answers import read_answer
    from identity.verifier.revocations import Picture

    tokens: list[str] = question["tokens"]
    async with Verifier(issuer=question["issuer"], audience=question["audience"]) as verifier:
        verified = [await verifier.verify(token) for token in tokens]
        key = verifier._keys.get(verified[0].key_id)
    assert key is not None
    asked = [
        replace(verified[index % len(verified)], token_id=f"t{index}", grant_id=f"g{index}", subject=f"s{index}")
        for index in range(_ASKED)
    ]
    variants = {"raw": _raw(tokens, key)}
    for count in question["counts"]:
        picture = Picture(lambda digest: None)
        picture.apply(read_answer((await _written(_server_picture(count))).plain(_ending())), time.time())
        variants |= {f"seen {count}": _checks(picture, asked, False), f"new {count}": _checks(picture, asked, True)}
    gc.freeze()
    return interleave(question["rounds"], variants)


def _raw(tokens: list[str], key: PublicKey) -> Callable[[], float]:
    import jwt
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    parts = [token.rpartition(".") for token in tokens]
    signed = [(jwt.utils.base64url_decode(signature), text.encode()) for text, _, signature in parts]
    padding, algorithm, raw_key = PKCS1v15(), SHA256(), key.raw
    assert isinstance(raw_key, RSAPublicKey)

    def raw() -> float:
        begin = time.process_time()
        for signature, text in signed:
            raw_key.verify(signature, text, padding, algorithm)
        return (time.process_time() - begin) / len(signed)

    return raw


def _checks(picture: Picture, asked: list[VerifiedToken], is_new: bool) -> Callable[[], float]:
    """The names of a new token have to be hashed first."""
    from identity.verifier.judging import Seen, check_revoked

    known = [Seen(token, 0.0, 0) for token in asked]

    def check() -> float:
        some = [Seen(token, 0.0, 0) for token in asked] if is_new else known
        begin = time.process_time()
        for seen in some:
            check_revoked(picture, seen, _AUDIENCE)
        return (time.process_time() - begin) / len(some)

    check()
    return check


def _serve() -> None:
    """Says what its picture and its answer take, and gives that answer to whoever asks, until it is stopped."""
    asyncio.run(_written(_server_picture(1_000)))
    gc.freeze()  # as a server process does once it has started
    before = _resident()
    picture = _server_picture(MANY)
    figures: dict[str, float] = {"bytes": (_resident() - before) / MANY}

    async def write() -> Rules:
        turns, begin = Turns(), time.perf_counter()
        await asyncio.sleep(0)
        written = await _written(picture)
        figures.update(seconds=time.perf_counter() - begin, **await turns.stop())
        return written

    written = asyncio.run(write())
    plain, packed = written.plain(_ending()), written.compressed(_ending())
    Issuer.packed = packed
    server = ThreadingHTTPServer((_HOST, 0), Issuer)
    sizes = {"plain": len(plain) / MANY, "packed": len(packed) / MANY}
    print(json.dumps({**figures, **sizes, "port": server.server_address[1]}), flush=True)
    server.serve_forever()


class Issuer(BaseHTTPRequestHandler):
    """Metadata, no keys, and the feed: the whole picture to whoever has none, and silence after that."""

    packed: ClassVar[bytes]

    def do_GET(self) -> None:
        """Answers."""
        body, url = b'{"keys":[]}', f"http://{self.headers['host']}"
        if self.path.startswith("/.well-known/oauth"):
            names = {"jwks_uri": url + "/jwks", "revocation_feed_endpoint": url + "/feed"}
            body = json.dumps({"issuer": url, **names}).encode()
        elif self.path.startswith("/feed"):
            body = self.packed
            if "cursor=" in self.path:
                time.sleep(60)
        self.send_response(200)
        if body is self.packed:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


async def _follow(issuer: str) -> dict[str, float]:
    """Starts a verifier and waits until it knows all rules; returns how long that took and what it cost."""
    from identity.verifier import ANONYMOUS, Verifier
    from identity.verifier.issuer import IssuerClient

    logging.disable()  # this issuer has no keys
    client = IssuerClient(issuer)
    await client.metadata()  # loads what the HTTP client loads at its first use
    await client.aclose()
    turns = Turns()
    async with Verifier(issuer=issuer, audience=_AUDIENCE, credential=ANONYMOUS) as verifier:
        before, begin = _resident(), time.perf_counter()
        verifier.start()
        while verifier.status().rules < MANY:
            await asyncio.sleep(0.001)
            assert time.perf_counter() - begin < 120
        took = time.perf_counter() - begin
        stall = await turns.stop()
        return {"seconds": took, "bytes": (_resident() - before) / MANY, **stall}


class Turns:
    """Notes how long after each other the turns of an event loop come: by CPU time of the whole process, all threads included,
    which is what a core of its own would take; and by the clock, which on a busy machine counts other processes too."""

    def __init__(self) -> None:
        self._longest = 0.0, 0.0
        self._task = asyncio.create_task(self._turn())

    async def _turn(self) -> None:
        while True:
            clock, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.001)
            by_clock, by_use = time.perf_counter() - clock - 0.001, time.process_time() - used
            self._longest = max(self._longest[0], by_use), max(self._longest[1], by_clock)

    async def stop(self) -> dict[str, float]:
        """Returns the longest stall."""
        await asyncio.sleep(0.1)
        self._task.cancel()
        return {"stall": self._longest[0], "stall by the clock": self._longest[1]}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGESIZE")


def _main(part: str) -> None:
    if part == "serve":
        _serve()
        return
    question = json.load(sys.stdin)
    json.dump(asyncio.run(_check(question) if part == "check" else _follow(question)), sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1])
