"""`identity api-keys` from a shell: shown once, listed without the secret, ended by its id."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest

from identity.tokens.api_key import read_key

Run = Callable[..., str]


@pytest.fixture
def run(run: Run) -> Run:
    """Runs a command about API keys."""
    return partial(run, "api-keys")


def test_a_key_is_made_listed_and_ended(run: Run) -> None:
    made = json.loads(run("create", "--user", "bob", "--name", "nightly", "--scope", "orders:read", "--json"))
    credential = read_key(made["api_key"])
    assert credential is not None
    assert made["key_id"] == credential.key_id
    listed = run("list", "--json")
    assert credential.secret not in listed + run("list")
    (entry,) = json.loads(listed)
    assert (entry["name"], entry["user"], entry["scopes"], entry["revoked_at"]) == (
        "nightly",
        "bob",
        ["orders:read"],
        None,
    )
    assert made["key_id"] in run("revoke", made["key_id"])
    assert json.loads(run("list", "--user", "bob", "--json"))[0]["revoked_at"] is not None
    assert json.loads(run("list", "--client", "demo", "--json")) == []


def test_a_person_reads_the_key_in_the_last_word(run: Run) -> None:
    said = run(
        "create", "--client", "demo-service", "--name", "import", "--resource", "orders", "--expires-in-days", "7"
    )
    assert read_key(said.split()[-1]) is not None


def test_what_cannot_be_is_one_sentence(run: Run) -> None:
    run("create", "--name", "k", "--scope", "orders:read", fails=True)
    run("revoke", "nothing", fails=True)
