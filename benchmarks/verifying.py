"""Measures the verifier alone, in one pinned process: new and seen tokens against the raw signature check and PyJWT's decode.

The verifier is a real one: keys fetched from the running server, revocation feed on. Run as a module it does the measuring
and writes JSON; `measure` starts it so.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.identity_server import IdentityServer
from benchmarks.machine import OpenSSL, openssl_speed
from benchmarks.processes import SERVER_CORE
from benchmarks.rounds import Ratio
from benchmarks.table import Row, Target, percent, times
from benchmarks.tokens import access_tokens

_TOKENS = 400
_SLICE_SECONDS = 0.1


def measure(identity: IdentityServer, rounds: int, _seconds: float) -> list[Row]:
    """Returns the rows of verification."""
    question = {
        "issuer": identity.issuer,
        "audience": identity.options.resource_url,
        "secret": identity.notes.resource_secret,
        "rounds": rounds * 3,
        "tokens": access_tokens(identity, _TOKENS),
    }
    bracket: list[OpenSSL] = [openssl_speed()]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.verifying"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    bracket.append(openssl_speed())
    each = dict[str, list[float]](json.loads(done.stdout))
    new, seen, raw, pyjwt = (each[name] for name in ("new", "seen", "raw", "pyjwt"))
    cli = 1 / (sum(speed.verifies for speed in bracket) / 2)
    micro = {name: f"{Ratio.around(values).median * 1e6:.1f} µs" for name, values in each.items()}
    share = Ratio.of(raw, new)
    to_cli = percent(cli / Ratio.around(new).median)
    note = f"{micro['new']}; raw in Python {micro['raw']}; {to_cli} of the openssl command's"
    return [
        Row("verify, new token: share of raw RSA-2048 verifies", Target(0.5, 0.6, percent), share, note),
        Row("verify, new token: against PyJWT's decode", Target(2, 2.6, times), Ratio.of(pyjwt, new), micro["pyjwt"]),
        Row("verify, seen token: against a raw verify", Target(8, 12, times), Ratio.of(raw, seen), micro["seen"]),
    ]


async def _compare(question: dict[str, Any]) -> dict[str, list[float]]:
    """Returns CPU seconds for each call, slice by slice; variants rotate, a slice is short."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    from identity.verifier import Credential, Verifier

    credential = Credential("orders", question["secret"])
    options = {"issuer": question["issuer"], "audience": question["audience"], "credential": credential}
    tokens: list[str] = question["tokens"]
    with urllib.request.urlopen(question["issuer"] + "/.well-known/jwks.json", timeout=5) as answer:
        jwks = {key["kid"]: jwt.PyJWK(key) for key in json.load(answer)["keys"]}
    key = jwks[jwt.get_unverified_header(tokens[0])["kid"]]
    parts = [token.rpartition(".") for token in tokens]
    signed = [(jwt.utils.base64url_decode(signature), text.encode()) for text, _, signature in parts]
    padding, algorithm = PKCS1v15(), SHA256()

    async def raw(index: int) -> None:
        key.key.verify(*signed[index], padding, algorithm)

    async def pyjwt(index: int) -> None:
        jwt.decode(tokens[index], key, ["RS256"], audience=question["audience"], issuer=question["issuer"])

    async with Verifier(**options) as remembers, Verifier(**options, cache_size=0) as forgets:

        async def seen(index: int) -> None:
            await remembers.verify(tokens[index])

        async def new(index: int) -> None:
            await forgets.verify(tokens[index])

        calls = {"raw": raw, "pyjwt": pyjwt, "seen": seen, "new": new}
        for call in calls.values():
            for index in range(len(tokens)):
                await call(index)
        found: dict[str, list[float]] = {name: [] for name in calls}
        names = list(calls)
        for turn in range(question["rounds"]):
            for name in names[turn % 4 :] + names[: turn % 4]:
                found[name].append(await _slice(calls[name], len(tokens)))
                await asyncio.sleep(0)
        return found


async def _slice(call: Callable[[int], Awaitable[None]], tokens: int) -> float:
    """CPU seconds of one call, over a slice of time."""
    calls, begin, end = 0, time.process_time(), time.perf_counter() + _SLICE_SECONDS
    while time.perf_counter() < end:
        for _ in range(20):
            await call(calls % tokens)
            calls += 1
    return (time.process_time() - begin) / calls


if __name__ == "__main__":
    json.dump(asyncio.run(_compare(json.load(sys.stdin))), sys.stdout)
