"""One installation for all, with clients that commands register, and Node."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dev_process import Dev
from node import Node, installed_node
from person import AFTER, CALLBACK, SCOPE

METADATA = {
    "grant_types": ["authorization_code", "refresh_token"],
    "redirect_uris": [CALLBACK],
    "post_logout_redirect_uris": [AFTER],
    "scope": SCOPE,
}


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
def register(run_command, tmp_path_factory) -> Callable[..., dict[str, str]]:
    """Registers a client for the code flow that never listens, with more of the metadata of RFC 7591."""
    folder = tmp_path_factory.mktemp("clients")

    def create(client_id: str, *options: str, **metadata: Any) -> dict[str, str]:
        described = folder / f"{client_id}.json"
        described.write_text(json.dumps({**METADATA, **metadata}))
        made = run_command("clients", "create", client_id, "--metadata", str(described), *options)
        return {"id": made["client_id"], "secret": made["client_secret"]}

    return create
