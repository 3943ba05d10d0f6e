"""`identity api-keys` from a shell: shown once, listed without the secret, ended by its id."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from identity.tokens.api_key import read_key

Run = Callable[..., str]


@pytest.fixture
def run(site: Path) -> Run:
    """Runs a command on a database with the demo's rows; returns what it prints."""
    settings = {
        "MODE": "dev",
        "ISSUER": "http://127.0.0.1:8000",
        "DATABASE_URL": f"sqlite:///{site / 'identity.sqlite3'}",
        "REDIS_URL": "fakeredis://",
        "KEYS_DIR": str(site / "keys"),
    }
    environment = {**os.environ, **{f"IDENTITY_{name}": value for name, value in settings.items()}}

    def command(*words: str, fails: bool = False) -> str:
        # A process of its own: a command sets up the log for the rest of its process's life.
        argv = [sys.executable, "-m", "identity.cli.main", "api-keys", *words, "--data-dir", str(site)]
        result = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
        assert (result.returncode != 0) is fails, result.stdout + result.stderr
        return result.stderr if fails else result.stdout

    return command


def test_a_key_is_made_listed_and_ended(run: Run) -> None:
    made = json.loads(run("create", "--user", "bob", "--name", "nightly", "--scope", "orders:read", "--json"))
    credential = read_key(made["api_key"])
    assert credential is not None
    assert made["key_id"] == credential.key_id
    listed = run("list", "--json")
    assert credential.secret not in listed + run("list")
    (entry,) = json.loads(listed)
    assert (entry["name"], entry["user"], entry["scopes"], entry["revoked_at"]) == (
        "nightly",
        "bob",
        ["orders:read"],
        None,
    )
    assert made["key_id"] in run("revoke", made["key_id"])
    assert json.loads(run("list", "--user", "bob", "--json"))[0]["revoked_at"] is not None
    assert json.loads(run("list", "--client", "demo", "--json")) == []


def test_a_person_reads_the_key_in_the_last_word(run: Run) -> None:
    said = run(
        "create", "--client", "demo-service", "--name", "import", "--resource", "orders", "--expires-in-days", "7"
    )
    assert read_key(said.split()[-1]) is not None


def test_what_cannot_be_is_one_sentence(run: Run) -> None:
    run("create", "--name", "k", "--scope", "orders:read", fails=True)
    run("revoke", "nothing", fails=True)
