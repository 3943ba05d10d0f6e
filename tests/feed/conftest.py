"""A feed over both pairs of engines: the embedded ones, and the real ones."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))  # The engines live with the contract tests of the stores.

from engines import SqlServer, emptied, own_valkey, valkey_url
from installation import Installation, Replica

from identity.store.redis.connection import connect

__all__ = ["own_valkey"]


@pytest.fixture(params=["embedded", "real"])
async def installation(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installation]:
    """fakeredis with SQLite, and Valkey with PostgreSQL."""
    is_real = request.param == "real"
    sql = SqlServer("postgresql" if is_real else "sqlite", tmp_path)
    redis = await emptied(connect(valkey_url() if is_real else "fakeredis://"))
    made = Installation(sql, await sql.migrated_url(), redis, is_real)
    yield made
    await made.close()


@pytest.fixture
def replica(installation: Installation) -> Replica:
    """The first replica."""
    return installation.replica()


@pytest.fixture
async def valkey_address() -> str:
    """The shared Valkey, emptied."""
    connection = await emptied(connect(valkey_url()))
    await connection.close()
    return valkey_url()
