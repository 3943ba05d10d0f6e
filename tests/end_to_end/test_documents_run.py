"""The commands and the code that the documents show, run as a newcomer would run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from dev_process import Dev, wait_until
from httpx2 import ASGITransport, AsyncClient
from test_story import log_in

from identity.store.embedded import embedded_valkey

ROOT = Path(__file__).parents[2]
FAST_KEYS = {"IDENTITY_JWKS_MAX_AGE": "1", "IDENTITY_VERIFIER_COOLDOWN": "1"}
A_PERSONS_PACE = "sleep 1\n"
"""Between two lines that are pasted one after the other."""


def blocks_of(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def on(dev: Dev, text: str) -> str:
    """Puts the ports of an installation in the place of the documents'."""
    return text.replace("http://127.0.0.1:8000", dev.issuer).replace("http://127.0.0.1:8001", dev.orders)


def wait_for_the_service(dev: Dev) -> None:
    """Returns when the example service has fetched the keys."""

    def has_keys() -> bool:
        with urllib.request.urlopen(f"{dev.orders}/health", timeout=5) as answer:
            return json.load(answer)["keys"] > 0

    wait_until(has_keys, 10)


@pytest.fixture
def shell(tmp_path):
    """Runs a script in an empty folder where `identity` and `uv run identity` are the command of these sources."""
    bin_folder, folder = tmp_path / "bin", tmp_path / "work"
    bin_folder.mkdir()
    folder.mkdir()
    command = bin_folder / "identity"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m identity.cli.main "$@"\n')
    command.chmod(0o755)

    def run(script: str, environment: dict[str, str], **options) -> subprocess.CompletedProcess[str]:
        path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        script = "set -e\n" + script.replace("uv run identity", "identity")
        return subprocess.run(
            ["bash", "-c", script],
            env={**environment, "PATH": path, "PYTHONPATH": str(ROOT)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )

    return run


def test_the_story_of_the_readme_comes_out_as_it_says(make_dev, shell):
    """Log in, call, log out, and be refused; then rotate the keys."""
    dev = make_dev(**FAST_KEYS)
    dev.start()
    wait_for_the_service(dev)
    told = [block for block in blocks_of("README.md", "sh") if "curl" in block or "keys rotate" in block]
    assert len(told) == 3
    log_in_and_call, log_out, rotate = (on(dev, block) for block in told)
    done = shell(log_in_and_call + log_out.replace("\n", "\n" + A_PERSONS_PACE), dev.environment)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"HTTP/1.1 (\d+)", done.stdout) == ["200", "200", "401"]
    rotated = shell(rotate, {**dev.environment, "IDENTITY_DATA_DIR": str(dev.data_dir)})
    assert rotated.returncode == 0, rotated.stderr
    assert "signs now" in rotated.stdout


async def test_the_python_example_of_the_readme_protects_its_endpoint(dev, connect):
    """It is pasted as it is; a token of alice's passes, no token and nonsense do not."""
    (example,) = blocks_of("README.md", "python")
    names: dict[str, object] = {}
    exec(compile(on(dev, example), "README.md", "exec"), names)
    app = names["app"]
    token = (await log_in(connect(dev.issuer)))["access_token"]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        http = await stack.enter_async_context(AsyncClient(transport=ASGITransport(app=app), base_url=dev.orders))
        good = await http.get("/orders", headers={"Authorization": f"Bearer {token}"})
        missing, wrong = await http.get("/orders"), await http.get("/orders", headers={"Authorization": "Bearer x"})
    assert (good.status_code, missing.status_code, wrong.status_code) == (200, 401, 401)
    assert good.json()[0].startswith("an order of ")
    assert wrong.json()["error"] == "invalid_token"


def test_the_setup_of_the_operating_page_runs(tmp_path, shell):
    """From empty stores: tables, keys, a resource, roles, clients; then a person who has a role."""
    text = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    setup = re.findall(r"<!-- tested -->\n```sh\n(.*?)^```$", text, re.S | re.M)[0]
    with embedded_valkey(tmp_path / "data") as redis_url:
        environment = {
            "HOME": str(tmp_path),
            "USER": "operator",
            "IDENTITY_ISSUER": "https://login.example.com",
            "IDENTITY_DATABASE_URL": f"sqlite:///{tmp_path / 'identity.sqlite3'}",
            "IDENTITY_REDIS_URL": redis_url,
            "IDENTITY_KEYS_DIR": str(tmp_path / "keys"),
        }
        done = shell(setup, environment)
        assert done.returncode == 0, done.stderr
        assert "orders:" in done.stdout
        made = shell("identity users create alice --role reader --password-stdin", environment, input="a long one\n")
        assert made.returncode == 0, made.stderr
        listed = json.loads(shell("identity clients list --json", environment).stdout)
        assert [client["client_id"] for client in listed] == ["reports", "web"]
        again = shell("identity keys init", environment)
        assert again.returncode == 1
        assert "already holds a keyring" in again.stderr
