"""Debian's Chromium, and Swagger's own files in place of the network they would be fetched from."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dev_process import Dev
from playwright.sync_api import BrowserContext, Route, sync_playwright

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def swagger_files(tmp_path_factory) -> Path:
    """The files of swagger-ui-dist 5, as FastAPI's page asks a content network for them."""
    folder = tmp_path_factory.mktemp("swagger")
    subprocess.run(
        ["npm", "pack", "--silent", "swagger-ui-dist@5"], cwd=folder, check=True, capture_output=True, timeout=120
    )
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


@contextmanager
def chromium(swagger_files: Path, profile: Path, **options: Any) -> Iterator[BrowserContext]:
    """A new browser without a past; only loopback and Swagger's files answer."""
    executable = shutil.which("chromium")
    assert executable, "install Debian's chromium to run the tests marked chromium"

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if "swagger-ui-dist" in route.request.url:
            route.fulfill(path=swagger_files / name)
        elif route.request.url.startswith(("http://127.0.0.1:", "https://127.0.0.1:")):
            route.continue_()
        else:
            route.abort()

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=executable,
            headless=True,
            args=_FLAGS,
            viewport={"width": 1100, "height": 1000},
            **options,
        )
        context.route("**/*", answer)
        yield context
        context.close()


@pytest.fixture
def browser(swagger_files, tmp_path) -> Iterator[BrowserContext]:
    """What nearly everybody has."""
    with chromium(swagger_files, tmp_path / "profile") as context:
        yield context


@pytest.fixture
def browser_without_scripts(swagger_files, tmp_path) -> Iterator[BrowserContext]:
    """What the careful have."""
    with chromium(swagger_files, tmp_path / "profile", java_script_enabled=False) as context:
        yield context


@pytest.fixture
def browser_past_the_warning(swagger_files, tmp_path) -> Iterator[BrowserContext]:
    """Of somebody who has not imported the authority of `identity dev --tls`."""
    with chromium(swagger_files, tmp_path / "profile", ignore_https_errors=True) as context:
        yield context


@pytest.fixture
def dev(tmp_path) -> Iterator[Dev]:
    """A running installation of `identity dev`."""
    installation = Dev(tmp_path)
    installation.start()
    yield installation
    assert installation.stop() == 0
