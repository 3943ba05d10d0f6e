"""`identity serve` on PostgreSQL and Valkey, two workers: what an operator does from nothing, and what is refused."""

from __future__ import annotations

import secrets
import shutil
import signal
import time

import psycopg
import pytest
from production import PASSWORD, Production, log_in


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
    (
        {"IDENTITY_LOGO_FILE": "/dev/null", "IDENTITY_TEMPLATES_DIR": "elsewhere", "IDENTITY_KEYS_DIR": "elsewhere"},
        [
            "elsewhere/keyring.json is missing",
            "IDENTITY_LOGO_FILE: /dev/null is no",
            "IDENTITY_TEMPLATES_DIR: elsewhere is no",
        ],
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


def test_a_redis_of_another_installation_is_refused(prepared):
    """0019: each would take the other's rules for its own future, and log everybody out."""
    prepared.serve()
    refused = prepared.command("serve", IDENTITY_ISSUER="https://other.example.com")
    assert refused.returncode == 2
    assert f"another installation, {prepared.environment['IDENTITY_ISSUER']}" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


async def test_keys_move_into_the_database_and_are_sealed_again_while_people_stay_logged_in(prepared, connect):
    """K02, K05: with commands only; the folder is gone at the end, and so is the first master key."""
    first, second = secrets.token_hex(32), secrets.token_hex(32)
    prepared.serve()
    before = await log_in(connect(prepared.environment["IDENTITY_ISSUER"]))
    prepared.processes[0].terminate()
    prepared.processes[0].wait(30)
    prepared.environment["IDENTITY_MASTER_KEY"] = first
    kids = [key["kid"] for key in prepared.done("keys", "list")]
    assert prepared.done("keys", "move", "--to", "database")["keys_in"] == "database"
    shutil.rmtree(prepared.folder / "keys")
    prepared.environment |= {"IDENTITY_KEYS_IN": "database", "IDENTITY_MASTER_KEY": second}
    refused = prepared.command("serve", "--port", str(prepared.port))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "which is not the one in IDENTITY_MASTER_KEY" in refused.stderr
    prepared.environment["IDENTITY_SECOND_MASTER_KEY"] = first
    assert prepared.done("keys", "seal-again")["sealed"] == 3
    del prepared.environment["IDENTITY_SECOND_MASTER_KEY"]
    assert [key["kid"] for key in prepared.done("keys", "list")] == kids
    again = prepared.command("keys", "init")
    assert (again.returncode, "already holds a keyring" in again.stderr) == (1, True)
    server = prepared.serve()
    token = before.json()["refresh_token"]
    wire = connect(prepared.environment["IDENTITY_ISSUER"])
    answer = await wire.form("/token", grant_type="refresh_token", client_id="web", refresh_token=token)
    assert answer.status == 200, answer.body
    server.send_signal(signal.SIGTERM)
    server.wait(30)
    log = server.stderr.read()
    assert not any(secret in log for secret in (first, second, "PRIVATE KEY"))
    assert {"keys.moved", "keys.sealed_again"} <= set(_audited(prepared))
