"""One installation for all, with clients that commands register, and Node."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from dev_process import Dev
from node import Node, installed_node
from person import AFTER, CALLBACK, SCOPE


@pytest.fixture(scope="session")
def node() -> Node:
    """Node, with the libraries installed."""
    return installed_node()


@pytest.fixture(scope="session")
def dev(tmp_path_factory) -> Iterator[Dev]:
    """One installation: whoever tests here leaves it as it was, but for clients, and for what people allowed those."""
    installation = Dev(tmp_path_factory.mktemp("dev"))
    installation.start()
    yield installation
    assert installation.stop() == 0
    for pid in installation.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def run_command(dev) -> Callable[..., dict[str, str]]:
    """Runs a command that registers a client; returns its `client_id` and its `client_secret`."""

    def run(*words: str) -> dict[str, str]:
        made = dev.command(*words, "--json")
        assert made.returncode == 0, made.stderr
        found: dict[str, str] = json.loads(made.stdout)
        return found

    return run


@pytest.fixture(scope="session")
def register(run_command) -> Callable[..., dict[str, str]]:
    """Registers a client for the code flow that never listens."""

    def create(client_id: str, *options: str) -> dict[str, str]:
        scopes = [word for scope in SCOPE.split() for word in ("--scope", scope)]
        grants = ["--grant", "authorization_code", "--grant", "refresh_token", "--resource", "orders"]
        addresses = ["--redirect-uri", CALLBACK, "--post-logout-redirect-uri", AFTER]
        made = run_command("clients", "create", client_id, *grants, *addresses, *scopes, *options)
        return {"id": made["client_id"], "secret": made["client_secret"]}

    return create
