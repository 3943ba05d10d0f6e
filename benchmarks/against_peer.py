"""Measures refreshes against npm's oidc-provider on Redis: same grant, kind of token, load, core and Valkey."""

from __future__ import annotations

import json
import subprocess

from benchmarks.identity_server import REFRESH, IdentityServer
from benchmarks.peer import WARM_UP_SECONDS, Peer
from benchmarks.processes import Server, put_load
from benchmarks.rounds import Ratio, interleave
from benchmarks.table import Row, Target, times

_MEASURE = "refresh against oidc-provider on Redis"
_TARGET = Target(1.8, 2.2, times)
_PORT = 18703
_SESSIONS = 300


def measure(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """Returns the row, or says why it could not be measured."""
    try:
        peer = Peer(identity, _PORT, sessions=_SESSIONS)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        return [Row(_MEASURE, _TARGET, None, f"not measured: {error}")]
    try:
        return [_compare(identity, peer, rounds, seconds)]
    finally:
        peer.server.stop()


def _compare(identity: IdentityServer, peer: Peer, rounds: int, seconds: float) -> Row:
    theirs = json.loads(peer.refresh_tokens.read_text(encoding="utf-8"))
    tokens = {identity.server: identity.sessions(_SESSIONS), peer.server: theirs}
    walls: dict[Server, list[float]] = {identity.server: [], peer.server: []}

    def refreshes(server: Server, length: float) -> float:
        load = put_load(server, length, tokens=tokens[server], **REFRESH)
        tokens[server] = load.tokens
        walls[server].append(load.rate)
        return load.per_cpu_second

    refreshes(peer.server, WARM_UP_SECONDS)
    walls[peer.server].clear()
    found = interleave(
        rounds,
        {"ours": lambda: refreshes(identity.server, seconds), "peer": lambda: refreshes(peer.server, seconds)},
    )
    by_wall = Ratio.of(walls[identity.server], walls[peer.server])
    each = 1e6 / Ratio.around(found["peer"]).median
    note = f"{peer.versions}: {each:.0f} µs each; by wall clock {times(by_wall.median)}"
    return Row(_MEASURE, _TARGET, Ratio.of(found["ours"], found["peer"]), note)
