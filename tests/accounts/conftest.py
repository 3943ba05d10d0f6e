"""Logins over the stores' engines."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))  # The engines live with the contract tests of the stores.

from engines import database, redis, sql

from identity.accounts.passwords import Passwords

__all__ = ["database", "redis", "sql"]


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """A pool of two threads."""
    made = Passwords(threads=2, queue=20)
    yield made
    made.close()
