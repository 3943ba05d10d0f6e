"""Installations of `identity dev`, and nothing of them left over."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from dev_process import Dev, free_ports
from engines import valkey_url
from faulty_proxy import Remote
from fronted import Fronted, tokens_of_one_login
from production import PASSWORD, Production, database_name, environment_of, new_database
from redis import Redis
from wire import Wire


@pytest.fixture
def make_dev(tmp_path) -> Iterator:
    """Makes installations, and leaves nothing of them running."""
    made: list[Dev] = []

    def make(*flags: str, **settings: str) -> Dev:
        folder = tmp_path / f"installation{len(made)}"
        folder.mkdir()
        made.append(Dev(folder, settings, flags=flags))
        return made[-1]

    yield make
    for dev in made:
        if dev.process is not None and dev.process.poll() is None:
            dev.stop()
        for pid in dev.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def connect() -> AsyncIterator:
    """Opens connections to servers, and closes them."""
    wires: list[Wire] = []

    def open_one(url: str) -> Wire:
        wires.append(Wire(url))
        return wires[-1]

    yield open_one
    for wire in wires:
        await wire.close()


@pytest.fixture
def dev(make_dev) -> Dev:
    """A running installation with the default settings."""
    installation = make_dev()
    installation.start()
    return installation


@pytest.fixture
def production(tmp_path) -> Iterator[Production]:
    """An empty PostgreSQL database, an empty Valkey, and no keys yet."""
    (port,) = free_ports(1)
    Redis.from_url(valkey_url()).flushall()
    made = Production(tmp_path, environment_of(tmp_path, port, new_database()), port)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def pattern(tmp_path_factory) -> Production:
    """Tables, keys, a resource, a role, a person and a client, all made by commands, once; copied for each test."""
    folder = tmp_path_factory.mktemp("pattern")
    Redis.from_url(
        valkey_url()
    ).flushall()  # A feed of another database would be ahead of this one, and begin an epoch.
    made = Production(folder, environment_of(folder, 0, new_database()), 0)
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
    copied = new_database(database_name(pattern))
    production.environment["IDENTITY_DATABASE_URL"] = copied
    return production


@pytest.fixture(scope="module")
def fronted(pattern: Production, tmp_path_factory) -> Iterator[Fronted]:
    """One server for a module, known by the address of a proxy that each test puts there; see `fronted.py`."""
    folder = tmp_path_factory.mktemp("fronted")
    port, proxy_port = free_ports(2)
    Redis.from_url(valkey_url()).flushall()
    made = Production(folder, environment_of(folder, port, new_database(database_name(pattern))), port)
    shutil.copytree(pattern.folder / "keys", folder / "keys")
    made.environment |= {"IDENTITY_ISSUER": f"http://127.0.0.1:{proxy_port}", "IDENTITY_JWKS_MAX_AGE": "1"}
    secret = made.done("resources", "create", "watcher", "https://watcher.example")["secret"]
    made.serve()
    yield Fronted(proxy_port, port, secret, asyncio.run(tokens_of_one_login(port)))
    made.stop()


@pytest.fixture
async def proxy(fronted: Fronted) -> AsyncIterator[Remote]:
    """What stands in front of it, with nothing broken."""
    async with fronted.proxy() as remote:
        yield remote
