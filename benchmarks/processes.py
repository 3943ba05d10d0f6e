"""Starts the servers that are measured, each on its own core, reads what they use, and stops them: by pid, and only them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER_CORE = 0
OTHER_CORE = min(1, (os.cpu_count() or 1) - 1)
"""Load generator and Valkey share the second core; on a machine with one core everything shares it, and says so."""

HOST = "127.0.0.1"
CONNECTIONS = 32
WARM_UP_SECONDS = 0.3
_TOLERATED = 0.05
"""Share of answers that may be refusals (a server without CPU time says 503); rows that met some say so."""

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU a process has used, all threads, waited-for children included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK


class Server:
    """One measured process on the server core. `url` is asked until it answers 200; `started_in` is that time, seconds."""

    def __init__(self, argv: list[str], port: int, path: str, environment: dict[str, str] | None = None) -> None:
        self.port = port
        # A file, not a pipe: nobody reads it while the server runs, and a full pipe would stop it.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            argv,
            env=environment or dict(os.environ),
            stdout=self._log,
            stderr=self._log,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        )
        self._await(f"http://{HOST}:{port}{path}", begin + 60)
        self.started_in = time.perf_counter() - begin

    @classmethod
    def asgi(cls, name: str, port: int, environment: dict[str, str] | None = None) -> Server:
        """Starts an application of `benchmarks.apps` under uvicorn, with the settings the identity server has."""
        return cls([sys.executable, "-m", "benchmarks.apps", name, str(port)], port, "/", environment)

    @property
    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        return cpu_seconds(self.process.pid)

    @property
    def resident_bytes(self) -> int:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def stop(self) -> None:
        """Ends the process and waits for it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _await(self, url: str, deadline: float) -> None:
        while time.perf_counter() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (OSError, urllib.error.URLError):
                time.sleep(0.002)
        self.stop()
        self._log.seek(0)
        raise RuntimeError(f"{url} never answered: {self._log.read().decode(errors='replace')[-2000:]}")


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the load generator found. `rate` per second, latencies and CPU in seconds, utilisations 0 to 1."""

    rate: float
    p50: float
    p99: float
    cpu_each: float
    utilisation: float
    generator_utilisation: float
    tokens: list[str]
    total: int
    refused: int

    @property
    def per_cpu_second(self) -> float:
        """Answers per second of the server's CPU time: the rate of a busy core that nobody else takes time from."""
        return 1 / self.cpu_each


def start_load(server: Server, seconds: float, program: str = "benchmarks.load", **spec: Any) -> subprocess.Popen[str]:
    """Starts a load generator on the other core."""
    whole = {"host": HOST, "port": server.port, "connections": CONNECTIONS, "warm_up": WARM_UP_SECONDS, **spec}
    generator = subprocess.Popen(
        [sys.executable, "-S", "-m", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {OTHER_CORE}),
    )
    assert generator.stdin
    generator.stdin.write(json.dumps({**whole, "seconds": seconds}))
    generator.stdin.close()
    generator.stdin = None
    return generator


def finish_load(generator: subprocess.Popen[str], server: Server, cpu_before: float) -> Load:
    """Waits for a load generator and returns what it found; many answers that were not 200 are an error."""
    output, _ = generator.communicate(timeout=120)
    if generator.returncode:
        raise RuntimeError("the load generator failed")
    found = json.loads(output)
    if found["refused"] > found["total"] * _TOLERATED:
        raise RuntimeError(f"{found['refused']} of {found['total']} answers were no success: {found['sample']}")
    used = server.cpu - cpu_before
    return Load(
        found["rate"],
        found["p50"],
        found["p99"],
        used / max(found["total"], 1),
        used / found["elapsed"],
        found["cpu"] / found["elapsed"],
        found["tokens"],
        found["total"],
        found["refused"],
    )


def put_load(server: Server, seconds: float, **spec: Any) -> Load:
    """Loads a server and returns what came of it."""
    before = server.cpu
    return finish_load(start_load(server, seconds, **spec), server, before)


def get_request(path: str, port: int, headers: Iterable[str] = ()) -> str:
    """Returns the text of a GET request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {HOST}:{port}", *headers, "", ""])


def post_request(path: str, port: int, form: str, headers: Iterable[str] = ()) -> str:
    """Returns the text of a POST request with a urlencoded form."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}:{port}", "Content-Type: application/x-www-form-urlencoded"]
    return "\r\n".join([*lines, f"Content-Length: {len(form)}", *headers, "", form])
