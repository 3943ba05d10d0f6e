"""Measures whether a login flood starves refreshes: their p99 at 500/s, quiet and under the flood, and the logins meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from benchmarks.identity_server import PORT, REFRESH, IdentityServer
from benchmarks.processes import SERVER_CORE, finish_load, post_request, put_load, start_load
from benchmarks.rounds import Ratio
from benchmarks.table import Row, Target, percent, times

_RATE = 500
_FLOOD = 48
_MIN_SECONDS = 3.0
"""A p99 of fewer than 1,500 refreshes would be the luck of a few."""


def measure(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """Returns both rows. Refreshes are due at fixed times, so one that waits behind others counts its waiting."""
    seconds = max(seconds, _MIN_SECONDS)
    tokens = identity.sessions(400)
    login = post_request("/token", PORT, "grant_type=password&client_id=demo&username=alice&password=wonderland")
    slowdowns, shares, quiet_p99, flood_p99 = [], [], [], []
    for _ in range(rounds):
        quiet = put_load(identity.server, seconds, rate=_RATE, tokens=tokens, **REFRESH)
        hashes = _hashes_per_second()
        before = identity.server.cpu
        flood = start_load(identity.server, seconds + 1, connections=_FLOOD, requests=[login])
        time.sleep(0.5)
        flooded = put_load(identity.server, seconds, rate=_RATE, tokens=quiet.tokens, **REFRESH)
        logins = finish_load(flood, identity.server, before)
        tokens = flooded.tokens
        slowdowns.append(flooded.p99 / quiet.p99)
        shares.append(logins.rate / hashes)
        quiet_p99.append(quiet.p99 * 1e3)
        flood_p99.append(flooded.p99 * 1e3)
    latencies = f"{Ratio.around(flood_p99).median:.1f} ms against {Ratio.around(quiet_p99).median:.1f} ms"
    return [
        Row(
            "p99 of refresh at 500/s while logins saturate, against quiet",
            Target(3, 1.5, times, less_is_better=True),
            Ratio.around(slowdowns),
            latencies,
        ),
        Row(
            "logins meanwhile, share of the hash-only rate of the core",
            Target(0.6, 0.7, percent),
            Ratio.around(shares),
            f"the same core also answers {_RATE} refreshes a second",
        ),
    ]


def _hashes_per_second() -> float:
    """Verifies passwords for a second on the server core, with the server's parameters and nothing else running there."""
    argv = [sys.executable, "-m", "benchmarks.logins"]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    return float(json.loads(done.stdout))


def _count_hashes() -> float:
    from identity.accounts.passwords import Passwords

    hasher = Passwords(1)._hasher
    stored, count, begin = hasher.hash("wonderland"), 0, time.perf_counter()
    while time.perf_counter() < begin + 1:
        hasher.verify(stored, "wonderland")
        count += 1
    return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    json.dump(_count_hashes(), sys.stdout)
