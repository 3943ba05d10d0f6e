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
def register(dev) -> Callable[..., dict[str, str]]:
    """Registers a client for the code flow, as an operator does; returns its id and its secret."""

    def create(client_id: str, *options: str, callback: str = CALLBACK, after: str = AFTER) -> dict[str, str]:
        scopes = [word for scope in SCOPE.split() for word in ("--scope", scope)]
        grants = ["--grant", "authorization_code", "--grant", "refresh_token", "--resource", "orders"]
        addresses = ["--redirect-uri", callback, "--post-logout-redirect-uri", after]
        made = dev.command("clients", "create", client_id, *grants, *addresses, *scopes, *options, "--json")
        assert made.returncode == 0, made.stderr
        found = json.loads(made.stdout)
        return {"id": found["client_id"], "secret": found["client_secret"]}

    return create
