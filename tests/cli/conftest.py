"""Commands as an operator types them, on a database with the demo's rows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.fixture
def environment(site: Path) -> dict[str, str]:
    settings = {
        "MODE": "dev",
        "ISSUER": "http://127.0.0.1:8000",
        "DATABASE_URL": f"sqlite:///{site / 'identity.sqlite3'}",
        "REDIS_URL": "fakeredis://",
        "KEYS_DIR": str(site / "keys"),
    }
    return {f"IDENTITY_{name}": value for name, value in settings.items()}


@pytest.fixture
def run(site: Path, environment: dict[str, str]) -> Run:
    """Runs a command on a database with the demo's rows; returns what it prints."""

    def command(*words: str, fails: bool = False) -> str:
        # A process of its own: a command sets up the log for the rest of its process's life.
        argv = [sys.executable, "-m", "identity.cli.main", *words, "--data-dir", str(site)]
        result = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
        assert (result.returncode != 0) is fails, result.stdout + result.stderr
        return result.stderr if fails else result.stdout

    return command
