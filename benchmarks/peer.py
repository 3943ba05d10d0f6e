"""npm's oidc-provider: installs it into the user's cache folder, and runs it on the Valkey of one of our servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.identity_server import IdentityServer
from benchmarks.processes import OTHER_CORE, Server

WARM_UP_SECONDS = 6.0
"""Node compiles what is hot while it runs: before that it would look slower than it is."""

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "identity-benchmarks" / "peer"
_PACKAGES = {"oidc-provider": "latest", "ioredis": "latest", "@node-rs/argon2": "latest", "node": "22"}
_SOURCES = Path(__file__).parent / "oidc_provider"


class Peer:
    """A running oidc-provider. `refresh_tokens` holds those of `sessions` sessions that are there when it starts; `clients` is
    how many apps are registered in its Redis. Raises `OSError`, `SubprocessError` or `RuntimeError` where it cannot run."""

    def __init__(self, identity: IdentityServer, port: int, sessions: int = 0, clients: int = 0) -> None:
        node = _install()
        self.refresh_tokens = identity.options.data_dir / f"peer-{port}.json"
        environment = {
            **os.environ,
            "PEER_PORT": str(port),
            "PEER_SESSIONS": str(sessions),
            "PEER_CLIENTS": str(clients),
            "PEER_TOKENS": str(self.refresh_tokens),
            "PEER_REDIS_SOCKET": str(identity.valkey.socket),
            "NODE_ENV": "production",
        }
        argv = [str(node), str(_CACHE / "server.mjs")]
        self.server = Server(argv, port, "/.well-known/openid-configuration", environment)
        self.versions = Path(f"{self.refresh_tokens}.version").read_text(encoding="utf-8")


def _install() -> Path:
    """Installs what is not there yet, and returns the peer's Node."""
    modules = _CACHE / "node_modules"
    node = modules / "node" / "bin" / "node"
    if not node.exists() or not all((modules / name).exists() for name in _PACKAGES):
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("npm is not installed")
        _CACHE.mkdir(parents=True, exist_ok=True)
        (_CACHE / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
        packages = [f"{name}@{version}" for name, version in _PACKAGES.items()]
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--loglevel", "error", *packages],
            cwd=_CACHE,
            check=True,
            timeout=300,
            capture_output=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {OTHER_CORE}),
        )
    for source in _SOURCES.glob("*.mjs"):
        shutil.copy(source, _CACHE)
    return node
