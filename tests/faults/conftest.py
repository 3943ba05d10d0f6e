"""Everything here is marked `faults`: run by `pytest -m faults`, short; and in full counts by `pytest -m faults --long -s`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tally import Experiment, experiment_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Callable[[str, str], Experiment]:
    """Makes an experiment, by its id and a word for its fault."""
    return lambda name, fault: experiment_of(request.config, name, fault)


@pytest.fixture
def choice() -> random.Random:
    """Where all chance comes from; its seed is printed, for whoever wants the same again."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)
