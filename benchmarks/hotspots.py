"""Shows where the time of a refresh goes: samples the running server with py-spy, native frames included.

py-spy is fetched by `uvx` (or found on PATH) when this runs; the project does not depend on it. It stops the server for each
sample, so the rate drops meanwhile: read the shares, not the speed. Stacks that wait are left out.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.identity_server import REFRESH, IdentityServer
from benchmarks.processes import finish_load, start_load

_SECONDS = 8
_PER_SECOND = 60
"""Often enough for shares to a percent; at 400 the server stands still most of the time."""

_PLACES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("RSA signature", ("_rust.abi3",)),
    ("argon2", ("_argon2",)),
    ("garbage collection", ("gc_collect_main",)),
    ("Redis: redis-py, connection, families", ("redis/asyncio", "redis/_parsers", "identity/store/redis", "hiredis")),
    ("form", ("identity/web/forms",)),
    ("minting: claims, JSON, base64", ("identity/tokens/access_token", "identity/keyring")),
    ("registry", ("identity/store/registry", "identity/feed", "identity/oauth/client_authentication")),
    ("grant and pipeline", ("identity/oauth", "identity/tokens", "identity/web/token")),
    ("sending the answer: uvicorn, kernel", ("RequestResponseCycle.send",)),
    ("Starlette request and response", ("starlette/requests", "starlette/responses", "starlette/datastructures")),
    ("FastAPI, Starlette: middleware and routing", ("fastapi/", "starlette/", "identity/web/cors")),
    ("reading the request: uvicorn, kernel", ("uvicorn/protocols", "uv__stream_io", "uv__read")),
    ("event loop", ("",)),
)
"""The first place with a frame in the stack gets the sample; the frames inside come before those outside."""


def show(identity: IdentityServer) -> list[str]:
    """Returns the profile as lines."""
    launcher = [["py-spy"]] * bool(shutil.which("py-spy")) + [["uvx", "py-spy"]] * bool(shutil.which("uvx"))
    if not launcher:
        return ["no profile: neither py-spy nor uvx is on PATH"]
    with tempfile.TemporaryDirectory() as folder:
        stacks = Path(folder) / "stacks.txt"
        problem, cost = _sample(identity, launcher[0], stacks)
        if not stacks.exists():
            return [f"no profile: {problem}"]
        return _lines(stacks.read_text(encoding="utf-8"), cost)


def _sample(identity: IdentityServer, launcher: list[str], stacks: Path) -> tuple[str, float]:
    """Records stacks under load; returns what py-spy said and the CPU seconds of a refresh."""
    before = identity.server.cpu
    load = start_load(identity.server, _SECONDS + 3, tokens=identity.sessions(400), **REFRESH)
    time.sleep(1)
    argv = [*launcher, "record", "--native", "--pid", str(identity.server.process.pid), "--format", "raw"]
    argv += ["--duration", str(_SECONDS), "--rate", str(_PER_SECOND), "--output", str(stacks)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    return done.stderr.strip()[-300:], finish_load(load, identity.server, before).cpu_each


def _lines(text: str, cost: float) -> list[str]:
    places: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if not any("uvicorn" in frame for frame in frames) or any("epoll" in frame for frame in frames[-3:]):
            continue
        places[_place(frames)] += int(count)
        functions[next((frame for frame in reversed(frames) if ".py:" in frame), frames[-1])] += int(count)
    total = sum(places.values()) or 1
    lines = [
        f"{share / total:6.1%} {share / total * cost * 1e6:6.0f} µs  {place}" for place, share in places.most_common()
    ]
    lines.append("The Python lines in or below which most of it is:")
    return lines + [f"{share / total:6.1%}  {function}" for function, share in functions.most_common(12)]


def _place(frames: list[str]) -> str:
    for name, marks in _PLACES[:3]:
        if any(mark in frame for frame in frames for mark in marks):
            return name
    for frame in reversed(frames):
        for name, marks in _PLACES[3:-1]:
            if any(mark in frame for mark in marks):
                return name
    return _PLACES[-1][0]
