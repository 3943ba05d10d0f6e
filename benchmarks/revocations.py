"""Measures the revocation feed with a million live rules: what the check of a token costs, what a rule takes at both ends and
on the wire, and how long a service stands still while all of them arrive.

Three processes do it, each this module with another word: `check` asks pictures about tokens, `serve` is an issuer whose answer
comes from the server's own picture, and `follow` is a service whose verifier takes that answer over.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.identity_server import IdentityServer
from benchmarks.processes import HOST, OTHER_CORE, SERVER_CORE
from benchmarks.rounds import Ratio, interleave
from benchmarks.table import Row, Target, milliseconds, percent, plain_bytes
from benchmarks.tokens import access_tokens

if TYPE_CHECKING:
    from identity.feed.picture import Picture as ServerPicture
    from identity.web.feed_answers import Rules

_MANY = 1_000_000
_COUNTS = (0, 1_000, _MANY)
_SIGNED = 400
_ASKED = 5_000
"""Tokens that each round asks about: their names are too many for a processor to remember where it found none of them."""

_AUDIENCE = "http://orders.example"
_EXPIRES_AT = 4_000_000_000
_ENVELOPE = {"epoch": "e", "seq": _MANY, "snapshot": True, "as_of_age": 0, "jwks_version": "k"}


def measure(identity: IdentityServer, rounds: int, _seconds: float) -> list[Row]:
    """Returns all rows about the feed."""
    return [*_check_rows(identity, rounds), *_million_rows(rounds)]


def _check_rows(identity: IdentityServer, rounds: int) -> list[Row]:
    question = {
        "issuer": identity.issuer,
        "audience": identity.options.resource_url,
        "rounds": rounds * 3,
        "tokens": access_tokens(identity, _SIGNED),
    }
    each: dict[str, list[float]] = json.loads(_run("check", json.dumps(question)))
    rows = []
    for what, target in (("seen", Target(0.1, 0.05, percent, True)), ("new", Target(0.3, 0.15, percent, True))):
        for count in _COUNTS:
            spent = each[f"{what} {count}"]
            note = f"{Ratio.around(spent).median * 1e6:.2f} µs; raw {Ratio.around(each['raw']).median * 1e6:.1f} µs"
            measure = f"revocation check, token {what}, {count:,} live rules: share of a raw RSA-2048 verify"
            rows.append(Row(measure, target, Ratio.of(spent, each["raw"]), note))
    return rows


def _million_rows(rounds: int) -> list[Row]:
    issuer = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.revocations", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {OTHER_CORE}),
    )
    try:
        assert issuer.stdout is not None
        served: dict[str, float] = json.loads(issuer.stdout.readline())
        url = f"http://{HOST}:{served['port']:.0f}"
        taken: list[dict[str, float]] = [json.loads(_run("follow", json.dumps(url))) for _ in range(rounds)]
    finally:
        issuer.terminate()
        issuer.wait()
    took = Ratio.around([each["seconds"] for each in taken]).median
    size = Target(100, 60, plain_bytes, True)
    stall = Target(0.1, 0.05, milliseconds, True)
    return [
        _row("bytes of a rule at a verifier", size, [each["bytes"] for each in taken], "growth of its resident set"),
        _row("bytes of a rule at a server", size, [served["bytes"]], "growth of its resident set"),
        _row("bytes of a rule on the wire", Target(21, 17, plain_bytes, True), [served["packed"]],
             f"gzip; {served['plain']:.1f} B plain"),
        _row("longest stall of a service while a million rules arrive", stall, [each["stall"] for each in taken],
             f"{took:.1f} s from the start of its verifier until all are in force"),
        _row("longest stall of a server while it writes a million rules", stall, [served["stall"]],
             f"{served['seconds']:.1f} s, once for all verifiers"),
    ]  # fmt: skip


def _row(measure: str, target: Target, values: list[float], note: str) -> Row:
    return Row(measure, target, Ratio.around(values), note)


def _run(part: str, question: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.revocations", part],
        input=question,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


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
    import jwt
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    from identity.verifier import Verifier
    from identity.verifier.feed_answers import read_answer
    from identity.verifier.judging import Seen, check_revoked
    from identity.verifier.revocations import Picture

    tokens: list[str] = question["tokens"]
    async with Verifier(issuer=question["issuer"], audience=question["audience"]) as verifier:
        verified = [await verifier.verify(token) for token in tokens]
        key = verifier._keys.get(verified[0].key_id)
    assert key is not None
    parts = [token.rpartition(".") for token in tokens]
    signed = [(jwt.utils.base64url_decode(signature), text.encode()) for text, _, signature in parts]
    padding, algorithm = PKCS1v15(), SHA256()
    asked = [
        replace(verified[index % _SIGNED], token_id=f"t{index}", grant_id=f"g{index}", subject=f"s{index}")
        for index in range(_ASKED)
    ]

    def raw() -> float:
        begin = time.process_time()
        for signature, text in signed:
            key.verify(signature, text, padding, algorithm)
        return (time.process_time() - begin) / len(signed)

    def checks(picture: Picture, is_new: bool) -> Callable[[], float]:
        known = [Seen(token, 0.0, 0) for token in asked]

        def check() -> float:
            some = [Seen(token, 0.0, 0) for token in asked] if is_new else known
            begin = time.process_time()
            for seen in some:
                check_revoked(picture, seen, _AUDIENCE)
            return (time.process_time() - begin) / len(some)

        check()
        return check

    variants: dict[str, Callable[[], float]] = {"raw": raw}
    for count in _COUNTS:
        picture = Picture(lambda digest: None)
        picture.apply(read_answer((await _written(_server_picture(count))).plain(_ending())), time.time())
        variants |= {f"seen {count}": checks(picture, False), f"new {count}": checks(picture, True)}
    return interleave(question["rounds"], variants)


def _serve() -> None:
    """Says what its picture and its answer take, and gives that answer to whoever asks, until it is stopped."""
    asyncio.run(_written(_server_picture(1_000)))
    gc.freeze()  # as a server process does once it has started
    before = _resident()
    picture = _server_picture(_MANY)
    figures: dict[str, float] = {"bytes": (_resident() - before) / _MANY}

    async def write() -> Rules:
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            gaps: list[float] = []
            ticking = tasks.create_task(_tick(gaps))
            written = await _written(picture)
            ticking.cancel()
        figures.update(seconds=time.perf_counter() - begin, stall=max(gaps))
        return written

    written = asyncio.run(write())
    plain, packed = written.plain(_ending()), written.compressed(_ending())

    class Issuer(BaseHTTPRequestHandler):
        """Metadata, no keys, and the feed: the whole picture to whoever has none, and silence after that."""

        def do_GET(self) -> None:
            body, url = b'{"keys":[]}', f"http://{HOST}:{self.server.server_address[1]}"
            if self.path.startswith("/.well-known/oauth"):
                names = {"jwks_uri": "/jwks", "revocation_feed_endpoint": "/feed"}
                document = {"issuer": url, **{name: url + path for name, path in names.items()}}
                body = json.dumps(document).encode()
            elif self.path.startswith("/feed"):
                body = packed
                if "cursor=" in self.path:
                    time.sleep(60)
            self.send_response(200)
            if body is packed:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((HOST, 0), Issuer)
    sizes = {"plain": len(plain) / _MANY, "packed": len(packed) / _MANY}
    print(json.dumps({**figures, **sizes, "port": server.server_address[1]}), flush=True)
    server.serve_forever()


async def _follow(issuer: str) -> dict[str, float]:
    """Starts a verifier and waits until it knows all rules; returns how long that took and what it cost."""
    from identity.verifier import ANONYMOUS, Verifier

    gaps: list[float] = []
    ticking = asyncio.create_task(_tick(gaps))
    async with Verifier(issuer=issuer, audience=_AUDIENCE, credential=ANONYMOUS) as verifier:
        before, begin = _resident(), time.perf_counter()
        verifier.start()
        while verifier.status().rules < _MANY:
            await asyncio.sleep(0.001)
            assert time.perf_counter() - begin < 120
        took = time.perf_counter() - begin
        await asyncio.sleep(0.1)
        ticking.cancel()
        return {"seconds": took, "stall": max(gaps), "bytes": (_resident() - before) / _MANY}


async def _tick(gaps: list[float]) -> None:
    """Notes how much later than in a millisecond each turn comes."""
    while True:
        due = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        gaps.append(time.perf_counter() - due)


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
