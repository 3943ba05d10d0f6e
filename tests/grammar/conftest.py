"""A server for requests that nobody would write by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from background_issuer import BackgroundIssuer, in_background
from registered import register

_NEVER = 10**9


@pytest.fixture(scope="module")
def server(lasting_site: Path) -> Iterator[BackgroundIssuer]:
    """One for a module. Nobody is throttled, and no retry is taken for one: a replay is refused at once."""
    changes = {"login_attempts": _NEVER, "login_attempts_per_address": _NEVER, "refresh_retry_window": 0}
    with in_background(lasting_site, **changes) as running:
        register(running)
        yield running
