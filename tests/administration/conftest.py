"""What an operator can do, over each pair of engines."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))  # The engines live with the contract tests of the stores,
sys.path.insert(0, str(Path(__file__).parents[1] / "feed"))  # the installation with those of the feed.

from engines import SqlServer, emptied, valkey_url
from installation import Installation

from identity.accounts.passwords import Passwords
from identity.store.redis.connection import connect


@pytest.fixture(params=["embedded", "real"])
async def installation(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installation]:
    """fakeredis with SQLite, and Valkey with PostgreSQL."""
    is_real = request.param == "real"
    sql = SqlServer("postgresql" if is_real else "sqlite", tmp_path)
    redis = await emptied(connect(valkey_url() if is_real else "fakeredis://"))
    made = Installation(sql, await sql.migrated_url(), redis, is_real)
    await made.replica().ledger.catch_up()
    yield made
    await made.close()


@pytest.fixture(scope="module")
def hasher() -> Iterator[Passwords]:
    made = Passwords(threads=2, queue=50)
    yield made
    made.close()
