"""`identity serve` on PostgreSQL and Valkey, two workers: what an operator does from nothing, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psycopg
import pytest
from dev_process import IDENTITY, free_ports, wait_until
from engines import postgresql_uri, valkey_url
from redis import Redis

PASSWORD = "correct horse battery staple"


@dataclass
class Production:
    """An installation with explicit stores; `environment` holds all its settings."""

    folder: Path
    environment: dict[str, str]
    port: int
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *arguments: str, stdin: str = "", **changed: str) -> subprocess.CompletedProcess[str]:
        """Runs a command; `changed` settings are for this run only, an empty value removes one."""
        environment = {name: value for name, value in {**self.environment, **changed}.items() if value}
        return subprocess.run(
            [*IDENTITY, *arguments],
            env=environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def done(self, *arguments: str, stdin: str = "") -> dict[str, str]:
        """Runs a command that must succeed, and returns its JSON."""
        ran = self.command(*arguments, "--json", stdin=stdin)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def serve(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts the server and waits until it is ready."""
        process = subprocess.Popen(
            [*IDENTITY, "serve", "--port", str(self.port), *arguments],
            env=self.environment,
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        wait_until(lambda: process.poll() is not None or self.is_ready(), 60)
        assert process.poll() is None, process.stderr.read()
        return process

    def is_ready(self) -> bool:
        """Whether the server answers that it can issue."""
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2) as answer:
            return answer.status == 200
        return False


def _environment(folder: Path, port: int, database: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_")}
    settings = {
        "IDENTITY_ISSUER": f"http://127.0.0.1:{port}",
        "IDENTITY_DATABASE_URL": database,
        "IDENTITY_REDIS_URL": valkey_url(),
        "IDENTITY_KEYS_DIR": str(folder / "keys"),
    }
    return {**inherited, **settings}


@pytest.fixture
def production(tmp_path) -> Iterator[Production]:
    """An empty PostgreSQL database, an empty Valkey, and no keys yet."""
    (port,) = free_ports(1)
    Redis.from_url(valkey_url()).flushall()
    made = Production(tmp_path, _environment(tmp_path, port, new_database()), port)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        process.stderr.close()


@pytest.fixture(scope="module")
def pattern(tmp_path_factory) -> Production:
    """Tables, keys, a resource, a role, a person and a client, all made by commands, once; copied for each test."""
    folder = tmp_path_factory.mktemp("pattern")
    made = Production(folder, _environment(folder, 0, new_database()), 0)
    made.done("migrate")
    made.done("keys", "init")
    made.done("resources", "create", "orders", "https://orders.example", "--scope", "orders:read")
    made.done("roles", "create", "reader", "--scope", "orders:read")
    made.done("users", "create", "carol", "--role", "reader", "--password-stdin", stdin=PASSWORD + "\n")
    grants = ("--grant", "password", "--grant", "refresh_token")
    made.done("clients", "create", "web", *grants, "--scope", "orders:read", "--public")
    return made


@pytest.fixture
def prepared(production: Production, pattern: Production) -> Production:
    """An installation of a test's own that is ready to serve."""
    shutil.copytree(pattern.folder / "keys", production.folder / "keys")
    copied = new_database(_database_name(pattern))
    production.environment["IDENTITY_DATABASE_URL"] = copied
    return production


def new_database(template: str = "template1") -> str:
    """Makes a database and returns its URL; the server is thrown away with all of them."""
    name = f"serve{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return postgresql_uri().replace("/postgres?", f"/{name}?")


def _database_name(production: Production) -> str:
    return urlsplit(production.environment["IDENTITY_DATABASE_URL"]).path.strip("/")


async def log_in(wire):
    return await wire.form(
        "/token", grant_type="password", client_id="web", username="carol", password=PASSWORD, scope="orders:read"
    )


async def test_an_operator_gets_from_nothing_to_tokens_and_a_stop_drains(prepared, connect):
    """Two workers on PostgreSQL; a disabled person is out at both, by a command run beside the server."""
    server = prepared.serve("--workers", "2")
    wire = connect(prepared.environment["IDENTITY_ISSUER"])
    answer = await log_in(wire)
    assert answer.status == 200, answer.body
    tokens = answer.json()
    prepared.done("users", "disable", "carol")
    for _ in range(10):  # new connections reach either worker
        other = connect(prepared.environment["IDENTITY_ISSUER"])
        refused = await other.form(
            "/token", grant_type="refresh_token", client_id="web", refresh_token=tokens["refresh_token"]
        )
        assert (refused.status, refused.json()["error"]) == (400, "invalid_grant")
        await other.close()
    prepared.done("users", "enable", "carol")
    assert (await log_in(wire)).status == 200
    audited = _audited(prepared)
    assert {"token.issued", "user.disabled", "user.enabled", "client.created", "role.created"} <= set(audited)
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) in (0, -signal.SIGTERM)
    assert PASSWORD not in server.stderr.read()


def _audited(production: Production) -> list[str]:
    with psycopg.connect(production.environment["IDENTITY_DATABASE_URL"]) as connection:
        deadline = time.monotonic() + 5
        while True:
            events = [row[0] for row in connection.execute("SELECT event FROM audit_event").fetchall()]
            connection.rollback()
            if "token.issued" in events or time.monotonic() > deadline:
                return events


async def test_the_first_administrator_is_made_once(prepared, connect):
    """U11: with people already there the credential in the environment makes nobody."""
    bootstrap = {"IDENTITY_BOOTSTRAP_ADMIN_USERNAME": "root", "IDENTITY_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD}
    prepared.environment.update(bootstrap)
    prepared.serve()
    assert [person["username"] for person in prepared.done("users", "list")] == ["carol"]


async def test_the_first_administrator_has_the_role(production):
    bootstrap = {"IDENTITY_BOOTSTRAP_ADMIN_USERNAME": "root", "IDENTITY_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD}
    production.environment.update(bootstrap)
    production.done("migrate")
    production.done("keys", "init")
    production.serve()
    (person,) = production.done("users", "list")
    assert (person["username"], person["roles"]) == ("root", ["administrator"])


REFUSALS = [
    ({"IDENTITY_ISSUER": "http://login.example.com"}, ["IDENTITY_ISSUER: must be https"]),
    ({"IDENTITY_ISUER": "x"}, ["IDENTITY_ISUER is not a setting"]),
    ({"IDENTITY_REDIS_URL": "redis://127.0.0.1:1"}, ["The Redis at IDENTITY_REDIS_URL cannot be reached"]),
    (
        {"IDENTITY_DATABASE_URL": "postgresql://127.0.0.1:1/x"},
        ["The database at IDENTITY_DATABASE_URL cannot be reached"],
    ),
    (
        {"IDENTITY_REDIS_URL": "redis://127.0.0.1:1", "IDENTITY_DATABASE_URL": "postgresql://127.0.0.1:1/x"},
        ["The database at IDENTITY_DATABASE_URL", "The Redis at IDENTITY_REDIS_URL"],
    ),
    ({"IDENTITY_KEYS_DIR": "elsewhere"}, ["elsewhere/keyring.json is missing"]),
    (
        {"IDENTITY_REDIS_URL": "", "IDENTITY_DATABASE_URL": ""},
        ["IDENTITY_DATABASE_URL: must", "IDENTITY_REDIS_URL: must"],
    ),
]


@pytest.mark.parametrize(("changed", "sentences"), REFUSALS, ids=["-".join(changed) for changed, _ in REFUSALS])
def test_a_start_with_a_bad_configuration_is_refused_with_one_sentence_per_problem(prepared, changed, sentences):
    refused = prepared.command("serve", "--port", str(prepared.port), **changed)
    lines = refused.stderr.strip().splitlines()
    assert refused.returncode == 2, refused.stderr
    assert len(lines) == len(sentences), refused.stderr
    for line, sentence in zip(lines, sentences, strict=True):
        assert line.startswith(f"identity: {sentence}")


def test_a_database_without_tables_is_refused(production):
    production.done("keys", "init")
    refused = production.command("serve")
    assert refused.returncode == 2
    assert "run `identity migrate`" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_key_that_others_can_read_is_refused(prepared):
    """K05, K08."""
    (path, *_) = (prepared.folder / "keys").glob("*.pem")
    path.chmod(0o644)
    refused = prepared.command("serve")
    assert refused.returncode == 2
    assert "can be read by others" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_demo_rows_are_refused(prepared):
    with psycopg.connect(prepared.environment["IDENTITY_DATABASE_URL"]) as connection:
        connection.execute("UPDATE user_account SET is_demo = true")
    refused = prepared.command("serve")
    assert refused.returncode == 2
    assert "demo rows (carol)" in refused.stderr
