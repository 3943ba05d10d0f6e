"""What many tests need: keys and demo rows, made once, and a server that runs in this process."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from issuer_in_process import NOTES, Issuer, dev_settings, running

from identity.accounts.passwords import Passwords
from identity.administration.demo import make_demo
from identity.keyring.folder import KeyFolder
from identity.keyring.making import first_keyring
from identity.settings import Settings
from identity.store.sql.migration import migrate
from identity.wiring.parts import Stores

REAL_PROCESSES = {"end_to_end", "foreign", "store", "faults"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="run what is marked faults in its full counts, over several runs"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What works with real processes comes first: it takes longest, and at the end it would leave workers idle."""
    items.sort(key=lambda item: item.path.parent.name not in REAL_PROCESSES)


def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`. A worker whose test waits for a process, or for a clock, leaves its core to one more."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def made_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keys folder, made once because RSA keys take their time. Copy it, never change it."""
    folder = tmp_path_factory.mktemp("made") / "keys"
    asyncio.run(KeyFolder(folder).create(*first_keyring(2048, int(time.time()))))
    return folder


@pytest.fixture(scope="session", autouse=True)
def parsed_keys() -> Iterator[None]:
    """Parses each private key once in a run: the same bytes are the same key, and checking its primes takes 30 ms."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        parse = functools.lru_cache(serialization.load_pem_private_key)
        monkeypatch.setattr(serialization, "load_pem_private_key", parse)
        yield


@pytest.fixture(scope="session")
def made_database(tmp_path_factory: pytest.TempPathFactory, made_keys: Path) -> Path:
    """An SQLite file with the demo's rows. Copy it, never change it."""
    folder = tmp_path_factory.mktemp("made")

    async def make() -> None:
        stores, passwords = Stores.of(dev_settings(folder)), Passwords(1)
        await migrate(stores.database)
        await make_demo(stores.ledger, passwords, NOTES)
        passwords.close()
        await stores.close()

    asyncio.run(make())
    return folder / "identity.sqlite3"


def furnish(folder: Path, keys: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts keys and demo rows into `folder`, and makes every `fakeredis://` from now on the same server."""
    shutil.copytree(keys, folder / "keys")
    shutil.copy(database, folder / "identity.sqlite3")
    server = fakeredis.FakeServer()
    monkeypatch.setattr(fakeredis, "FakeServer", lambda: server)
    return folder


@pytest.fixture
def site(tmp_path: Path, made_keys: Path, made_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with keys and demo rows, and a Redis that all of one test share."""
    return furnish(tmp_path, made_keys, made_database, monkeypatch)


@pytest.fixture
def settings_of(site: Path) -> Callable[..., Settings]:
    """Settings for this test's folder, with changes."""
    return lambda **changes: dev_settings(site, **changes)


StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]


@pytest.fixture
def start_issuer(site: Path) -> StartIssuer:
    """Starts servers with other settings: `async with start_issuer(login_attempts=3) as issuer`."""

    def start(peer: str = "127.0.0.1", **changes: Any) -> AbstractAsyncContextManager[Issuer]:
        return running(dev_settings(site, **changes), peer)

    return start


@pytest.fixture
async def issuer(start_issuer: StartIssuer) -> AsyncIterator[Issuer]:
    """A server with the settings of `identity dev`, but a feed that asks for a credential."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(start_issuer())


@pytest.fixture(scope="module")
def lasting_site(tmp_path_factory: pytest.TempPathFactory, made_keys: Path, made_database: Path) -> Iterator[Path]:
    """A folder with keys and demo rows, and a Redis, that all tests of a module share."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield furnish(tmp_path_factory.mktemp("lasting"), made_keys, made_database, monkeypatch)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting_issuer(lasting_site: Path) -> AsyncIterator[Issuer]:
    """One server for a whole module, whose tests leave nothing behind that another would notice."""
    async with running(dev_settings(lasting_site)) as issuer:
        yield issuer
