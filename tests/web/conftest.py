"""A server that holds keys of every algorithm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from issuer_in_process import Issuer

from identity.keyring.folder import KeyFolder
from identity.keyring.making import first_keyring
from identity.verifier.profile import ALGORITHMS

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]


@pytest.fixture(scope="session")
def four_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("four") / "keys"
    asyncio.run(KeyFolder(folder).create(*first_keyring(2048, int(time.time()), ALGORITHMS)))
    return folder


@pytest.fixture
async def four(start_issuer: StartIssuer, site: Path, four_keys: Path) -> AsyncIterator[Issuer]:
    """A server that holds keys of all four."""
    for path in (site / "keys").iterdir():
        path.unlink()
    for path in four_keys.iterdir():
        (site / "keys" / path.name).write_bytes(path.read_bytes())
        (site / "keys" / path.name).chmod(0o600)
    async with start_issuer() as issuer:
        yield issuer
