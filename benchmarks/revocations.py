"""Measures the revocation feed with a million live rules: what the check of a token costs, what a rule takes at both ends and
on the wire, and how long a service stands still while all of them arrive.

The measuring is done in processes of their own; see `million_rules.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks.identity_server import IdentityServer
from benchmarks.million_rules import MANY
from benchmarks.processes import HOST, OTHER_CORE, SERVER_CORE
from benchmarks.rounds import Ratio
from benchmarks.table import Row, Target, milliseconds, percent, plain_bytes
from benchmarks.tokens import access_tokens

COUNTS = (0, 1_000, MANY)
_SIGNED = 400


def measure(identity: IdentityServer, rounds: int, _seconds: float) -> list[Row]:
    """Returns all rows about the feed."""
    return [*_check_rows(identity, rounds), *_million_rows(rounds)]


def _check_rows(identity: IdentityServer, rounds: int) -> list[Row]:
    question = {
        "issuer": identity.issuer,
        "audience": identity.options.resource_url,
        "rounds": rounds * 3,
        "counts": COUNTS,
        "tokens": access_tokens(identity, _SIGNED),
    }
    each: dict[str, list[float]] = json.loads(_run("check", json.dumps(question)))
    rows = []
    for what, target in (("seen", Target(0.1, 0.05, percent, True)), ("new", Target(0.3, 0.15, percent, True))):
        for count in COUNTS:
            spent = each[f"{what} {count}"]
            note = f"{Ratio.around(spent).median * 1e6:.2f} µs; raw {Ratio.around(each['raw']).median * 1e6:.1f} µs"
            title = f"revocation check, token {what}, {count:,} live rules: share of a raw RSA-2048 verify"
            rows.append(Row(title, target, Ratio.of(spent, each["raw"]), note))
    return rows


def _million_rows(rounds: int) -> list[Row]:
    issuer = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.million_rules", "serve"],
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
    clock = Ratio.around([each["stall by the clock"] for each in taken]).median
    took = Ratio.around([each["seconds"] for each in taken]).median
    size, stall = Target(100, 60, plain_bytes, True), Target(0.1, 0.05, milliseconds, True)
    arrival = f"CPU time; by the clock {clock * 1e3:.0f} ms; all in force {took:.1f} s after the start"
    writing = (
        f"CPU time; by the clock {served['stall by the clock'] * 1e3:.0f} ms; {served['seconds']:.1f} s, once for all"
    )
    sizes = "growth of its resident set"
    wire = Target(21, 17, plain_bytes, True)
    return [
        _row("bytes of a rule at a verifier", size, [each["bytes"] for each in taken], sizes),
        _row("bytes of a rule at a server", size, [served["bytes"]], sizes),
        _row("bytes of a rule on the wire", wire, [served["packed"]], f"gzip; {served['plain']:.1f} B plain"),
        _row(
            "longest stall of a service while a million rules arrive", stall, [each["stall"] for each in taken], arrival
        ),
        _row("longest stall of a server while it writes a million rules", stall, [served["stall"]], writing),
    ]


def _row(measure: str, target: Target, values: list[float], note: str) -> Row:
    return Row(measure, target, Ratio.around(values), note)


def _run(part: str, question: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.million_rules", part],
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
