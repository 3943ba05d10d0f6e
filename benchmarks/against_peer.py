"""Measures refreshes against npm's oidc-provider on Redis: same grant, kind of token, load, core and Valkey."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.identity_server import REFRESH, IdentityServer
from benchmarks.processes import OTHER_CORE, Server, put_load
from benchmarks.rounds import Ratio, interleave
from benchmarks.table import Row, Target, times

_MEASURE = "refresh against oidc-provider on Redis"
_TARGET = Target(1.8, 2.2, times)
_PORT = 18703
_SESSIONS = 300
_WARM_UP_SECONDS = 6.0
"""Node compiles what is hot while it runs: before that it would look slower than it is."""

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "identity-benchmarks" / "peer"
_PACKAGES = ("oidc-provider@latest", "ioredis@latest", "node@22")
_SOURCES = Path(__file__).parent / "oidc_provider"


def measure(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """Returns the row, or says why it could not be measured."""
    try:
        node = _install()
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        return [Row(_MEASURE, _TARGET, None, f"not measured: {error}")]
    tokens_file = identity.options.data_dir / "peer.json"
    environment = {
        **os.environ,
        "PEER_PORT": str(_PORT),
        "PEER_SESSIONS": str(_SESSIONS),
        "PEER_TOKENS": str(tokens_file),
        "PEER_REDIS_SOCKET": str(identity.valkey.socket),
        "NODE_ENV": "production",
    }
    peer = Server([str(node), str(_CACHE / "server.mjs")], _PORT, "/.well-known/openid-configuration", environment)
    try:
        return [_compare(identity, peer, tokens_file, rounds, seconds)]
    finally:
        peer.stop()


def _compare(identity: IdentityServer, peer: Server, tokens_file: Path, rounds: int, seconds: float) -> Row:
    tokens = {identity.server: identity.sessions(_SESSIONS), peer: json.loads(tokens_file.read_text(encoding="utf-8"))}
    walls: dict[Server, list[float]] = {identity.server: [], peer: []}

    def refreshes(server: Server, length: float) -> float:
        load = put_load(server, length, tokens=tokens[server], **REFRESH)
        tokens[server] = load.tokens
        walls[server].append(load.rate)
        return load.per_cpu_second

    refreshes(peer, _WARM_UP_SECONDS)
    walls[peer].clear()
    found = interleave(
        rounds,
        {"ours": lambda: refreshes(identity.server, seconds), "peer": lambda: refreshes(peer, seconds)},
    )
    by_wall = Ratio.of(walls[identity.server], walls[peer])
    versions = Path(f"{tokens_file}.version").read_text(encoding="utf-8")
    each = 1e6 / Ratio.around(found["peer"]).median
    note = f"{versions}: {each:.0f} µs each; by wall clock {times(by_wall.median)}"
    return Row(_MEASURE, _TARGET, Ratio.of(found["ours"], found["peer"]), note)


def _install() -> Path:
    """Installs the peer into the user's cache folder unless it is there, and returns its Node."""
    node = _CACHE / "node_modules" / "node" / "bin" / "node"
    if not node.exists() or not (_CACHE / "node_modules" / "oidc-provider").exists():
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("npm is not installed")
        _CACHE.mkdir(parents=True, exist_ok=True)
        (_CACHE / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
        argv = [npm, "install", "--no-audit", "--no-fund", "--loglevel", "error", *_PACKAGES]
        subprocess.run(
            argv,
            cwd=_CACHE,
            check=True,
            timeout=300,
            capture_output=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {OTHER_CORE}),
        )
    for source in _SOURCES.glob("*.mjs"):
        shutil.copy(source, _CACHE)
    return node
