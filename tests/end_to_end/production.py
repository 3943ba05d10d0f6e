"""`identity serve` as real processes on PostgreSQL and Valkey, as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psycopg
from dev_process import IDENTITY, wait_until
from engines import postgresql_uri, valkey_url
from wire import Answer, Wire

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

    def serve(self, *arguments: str, port: int = 0) -> subprocess.Popen[str]:
        """Starts a server, on its own port or another, and waits until it is ready."""
        port = port or self.port
        # A file: a pipe that nobody reads is full one day, and whoever writes to it then stands still.
        log = self.folder / f"server{len(self.processes)}.log"
        with log.open("w") as written:
            argv = [*IDENTITY, "serve", "--port", str(port), *arguments]
            process = subprocess.Popen(argv, env=self.environment, cwd=self.folder, stderr=written, text=True)
        process.stderr = log.open()
        self.processes.append(process)
        wait_until(lambda: process.poll() is not None or self.is_ready(port), 60)
        assert process.poll() is None, process.stderr.read()
        return process

    def serve_long(self, port: int) -> subprocess.Popen[str]:
        """Starts a server that says a lot: its log goes on into a file, for a pipe that nobody empties would hold it up."""
        process, log = self.serve(port=port), self.folder / f"{port}.log"

        def empty() -> None:
            with log.open("w") as file:
                file.writelines(process.stderr)

        threading.Thread(target=empty, daemon=True).start()
        return process

    def stop(self) -> None:
        """Ends every server that still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
            process.wait(30)
            process.stderr.close()

    def is_ready(self, port: int = 0) -> bool:
        """Whether the server answers that it can issue."""
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port or self.port}/health/ready", timeout=2) as answer:
            return answer.status == 200
        return False


def environment_of(folder: Path, port: int, database: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_")}
    settings = {
        "IDENTITY_ISSUER": f"http://127.0.0.1:{port}",
        "IDENTITY_DATABASE_URL": database,
        "IDENTITY_REDIS_URL": valkey_url(),
        "IDENTITY_KEYS_DIR": str(folder / "keys"),
    }
    return {**inherited, **settings}


def new_database(template: str = "template1") -> str:
    """Makes a database and returns its URL; the server is thrown away with all of them."""
    name = f"serve{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return postgresql_uri().replace("/postgres?", f"/{name}?")


def database_name(production: Production) -> str:
    return urlsplit(production.environment["IDENTITY_DATABASE_URL"]).path.strip("/")


async def log_in(wire: Wire) -> Answer:
    """Logs carol in."""
    return await wire.form(
        "/token", grant_type="password", client_id="web", username="carol", password=PASSWORD, scope="orders:read"
    )
