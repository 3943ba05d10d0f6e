"""`identity doctor`, `backup`, `rehearse`, `restore` and `restored`, as they are typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from engines import valkey_url
from redis import Redis

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def empty_redis() -> None:
    with Redis.from_url(valkey_url()) as redis:
        redis.flushall()


def type_at(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Types a command at the installation in a folder; words like `IDENTITY_X=y` are settings."""
    settings = {
        "IDENTITY_ISSUER": "https://login.example.com",
        "IDENTITY_DATABASE_URL": f"sqlite:///{folder / 'identity.sqlite3'}",
        "IDENTITY_REDIS_URL": valkey_url(),
        "IDENTITY_KEYS_DIR": str(folder / "keys"),
        "IDENTITY_KEYS_PASSPHRASE": "a passphrase",
        "IDENTITY_DATA_DIR": str(folder),
    }
    changed = dict(word.split("=", 1) for word in words if word.startswith("IDENTITY_"))
    # A process of its own: a command sets up the log for the rest of its process's life.
    argv = [sys.executable, "-m", "identity.cli.main", *(word for word in words if "=" not in word)]
    environment = {**os.environ, **settings, **changed}
    return subprocess.run(argv, env=environment, input=stdin, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with tables, keys and one person."""
    folder = tmp_path_factory.mktemp("pattern")
    for words in (("migrate",), ("keys", "init"), ("users", "create", "alice", "--password-stdin")):
        assert type_at(folder, *words, stdin="correct horse battery staple\n").returncode == 0
    return folder


@pytest.fixture
def run(pattern: Path, tmp_path: Path) -> Iterator[Run]:
    """Types commands at an installation like the pattern."""
    empty_redis()
    shutil.copytree(pattern, tmp_path, dirs_exist_ok=True)
    yield partial(type_at, tmp_path)
    empty_redis()


def test_the_doctor_says_how_it_is_in_its_exit_code(run: Run, tmp_path: Path) -> None:
    """I7: 0 healthy, 1 something is left, 2 not everything could be looked at; for programs, too."""
    healthy = run("doctor", "--json")
    told = json.loads(healthy.stdout)
    assert (healthy.returncode, told["healthy"]) == (0, True)
    assert {each["verdict"] for each in told["findings"]} == {"good"}
    ill = run("doctor", "IDENTITY_BOOTSTRAP_ADMIN_PASSWORD=left over")
    assert (ill.returncode, "warning" in ill.stdout, "left over" in ill.stdout) == (1, True, False)
    assert run("doctor", "--json", "IDENTITY_REDIS_URL=unix:///nonexistent/valkey.sock").returncode == 2
    assert run("doctor", "IDENTITY_ISSUER=nonsense").returncode == 2


def test_a_backup_is_made_tried_and_restored(run: Run, tmp_path: Path) -> None:
    """F25: and what came after it is said to be over."""
    folder = tmp_path / "backup"
    assert run("backup", str(folder)).returncode == 0
    tried = json.loads(run("rehearse", str(folder), "--json").stdout)
    assert tried["contents"]["people"] == 1
    assert run("restore", str(folder)).returncode == 1  # The database is not empty.
    for name in ("identity.sqlite3", "identity.sqlite3-wal", "identity.sqlite3-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.rmtree(tmp_path / "keys")
    restored = run("restore", str(folder))
    assert (restored.returncode, "Keys are those of the backup" in restored.stdout) == (0, True)
    assert [each["username"] for each in json.loads(run("users", "list", "--json").stdout)] == ["alice"]
    assert run("doctor").returncode == 0


def test_whoever_was_ended_since_is_named_when_a_restore_is_told(run: Run, tmp_path: Path) -> None:
    """I2, F25: Redis knows; the person is disabled until somebody has looked."""
    database, copy = tmp_path / "identity.sqlite3", tmp_path / "copy"
    assert run("backup", str(copy)).returncode == 0
    assert run("users", "set-password", "alice", "--password-stdin", stdin="another one altogether\n").returncode == 0
    shutil.copyfile(copy / "database", database)
    told = json.loads(run("restored", "--json").stdout)
    (disabled,) = told["disabled"]
    assert disabled["event"] == "user.disabled"
    (alice,) = json.loads(run("users", "list", "--json").stdout)
    assert alice["subject"] == disabled["subject"]
    assert not alice["is_enabled"]
