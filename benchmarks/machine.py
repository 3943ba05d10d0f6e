"""The machine and its versions, and the yardstick: what `openssl speed` signs and verifies with RSA-2048 on the server core."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import OTHER_CORE, SERVER_CORE

_PACKAGES = (
    "cryptography",
    "pyjwt",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "redis",
    "hiredis",
    "sqlmodel",
)


@dataclass(frozen=True, slots=True)
class OpenSSL:
    """RSA-2048 operations per second of CPU time, by the `openssl` on PATH."""

    signs: float
    verifies: float


def openssl_speed() -> OpenSSL:
    """Measures for a second each, on the server core.

    Without `-elapsed` it counts CPU time, as the servers' figures do: another process on the core takes from neither.
    """
    argv = ["openssl", "speed", "-seconds", "1", "-mr", "rsa2048"]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    fields = next(line for line in done.stdout.splitlines() if line.startswith("+F2:")).split(":")
    return OpenSSL(float(fields[3]), float(fields[4]))


def describe() -> list[str]:
    """Returns lines that say what the figures were measured on and with."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next(
        (line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "?"
    )
    ifma = "with" if "avx512ifma" in cpuinfo else "without"
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return [
        f"{os.cpu_count()} x {model}, {ifma} AVX512-IFMA (signing with it is 2.3 times as fast); load average {load}",
        f"servers on core {SERVER_CORE}; load generator and Valkey on core {OTHER_CORE}",
        f"Python {platform.python_version()}; " + "; ".join(f"{name} {version(name)}" for name in _PACKAGES),
        _first_line("openssl", "version") + "; node " + _first_line("node", "--version"),
    ]


def _first_line(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        return f"no {argv[0]}"
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip().partition("\n")[0]
