"""The image is built from the sources alone: no key, no root, no tool it does not need. And no key enters a commit."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from deployment_files import ROOT, build_context, committed_files, compose, dockerfile

PRIVATE = [
    "keys/keyring.json",
    "keys/4fQ0.pem",
    "keys/refresh.AAAA.pem",
    "keys/.lock",
    ".identity/identity.sqlite3",
    ".identity/demo.json",
    ".identity/secrets/database_url",
    ".env",
    ".git/config",
    "backup.pem",
]


def test_a_build_sees_sources_only():
    """K05: no key, no data folder, no history and no environment file can enter an image."""
    seen = build_context([*committed_files(), *PRIVATE])
    assert not set(seen) & set(PRIVATE)
    assert {path.partition("/")[0] for path in seen} == {
        "identity",
        "resource_example",
        "pyproject.toml",
        "uv.lock",
        "README.md",
        "LICENSE",
    }
    assert {path for path in seen if not path.endswith((".py", ".lua", ".html", ".css"))} == {
        "pyproject.toml",
        "uv.lock",
        "README.md",
        "LICENSE",
    }
    assert {
        "identity/store/redis/families.lua",
        "identity/web/templates/login.html",
        "identity/web/assets/page.css",
    } <= {*seen}
    assert build_context(["identity/__pycache__/app.cpython-313.pyc", "identity/web/old.pyc"]) == []


def test_no_key_can_enter_a_commit(tmp_path, made_keys):
    """Real keys and real data in a work tree: `git add --all` takes none of them."""
    shutil.copytree(made_keys, tmp_path / "keys")
    assert list((tmp_path / "keys").glob("*.pem"))
    for path in PRIVATE:
        if path.startswith((".identity/", "keys/")):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text("private")
    for path in (".gitignore", "keys/README.md"):
        shutil.copy(ROOT / path, tmp_path / path)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    for arguments in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, env=clean, check=True, capture_output=True)
    added = subprocess.run(["git", "ls-files"], cwd=tmp_path, env=clean, check=True, capture_output=True, text=True)
    assert added.stdout.split() == [".gitignore", "keys/README.md"]


def test_no_key_was_ever_committed():
    assert [path for path in committed_files() if path.startswith(("keys/", ".identity/"))] == ["keys/README.md"]
    for path in committed_files():
        content = (ROOT / path).read_bytes()
        assert not re.search(rb"^-----BEGIN (?:\w+ )?PRIVATE KEY-----\r?\n[A-Za-z0-9+/=]{40}", content, re.M), path


def test_the_wheel_carries_scripts_and_migrations(tmp_path):
    """What is not Python is needed too: the Lua beside its module, and the migrations as files."""
    subprocess.run(["uv", "build", "--wheel", "--out-dir", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(built).namelist())
    shipped = ("identity/", "resource_example/")
    assert {path for path in committed_files() if path.startswith(shipped)} <= names
    assert not [name for name in names if not name.startswith((*shipped, "identity_seam-"))]


def test_the_image_runs_as_a_fixed_user_who_is_not_root():
    users = [value for word, value in dockerfile() if word == "USER"]
    assert users == ["10001:10001"]
    assert all(service["user"] != "0" for service in compose()["services"].values())


def test_the_image_holds_no_setting_but_the_place_of_the_keys():
    settings = [value for word, value in dockerfile() if word in ("ENV", "ARG")]
    assert re.findall(r"IDENTITY_\w+=\S+", " ".join(settings)) == ["IDENTITY_KEYS_DIR=/keys"]
    assert not re.search(r"password|secret|token|passphrase", " ".join(settings), re.I)


def test_what_the_image_copies_is_in_the_build_context():
    """And nothing is copied by `COPY . .`, which would take whatever is there."""
    context = build_context(committed_files())
    for source in copied():
        assert [path for path in context if path == source or path.startswith(source + "/")], source


def copied() -> list[str]:
    instructions = [value.split() for word, value in dockerfile() if word == "COPY" and not value.startswith("--from")]
    return [source for words in instructions for source in words[:-1]]


def test_the_image_is_installed_as_locked_and_runs_without_the_sources(tmp_path):
    """The Dockerfile's own `uv sync` on the build context alone: the lock fits, the command starts, no test tool is there."""
    source, environment = tmp_path / "source", tmp_path / "environment"
    for path in build_context(committed_files()):
        if any(path == each or path.startswith(each + "/") for each in copied()):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, source / path)
    sync = [value.split() for word, value in dockerfile() if word == "RUN" and value.startswith("uv sync")][-1]
    assert "--locked" in sync
    assert "--no-dev" in sync
    clean = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    subprocess.run(
        [*sync, "--python", sys.executable],
        cwd=source,
        env={**clean, "UV_PROJECT_ENVIRONMENT": str(environment)},
        check=True,
        capture_output=True,
    )
    shutil.rmtree(source)
    told = run_in(environment, "identity", "--help")
    assert "migrate" in told
    script = (
        "import importlib.util as u, json, resource_example.app;"
        "print(json.dumps([name for name in ('pytest', 'mypy', 'hypothesis', 'playwright') if u.find_spec(name)]))"
    )
    assert json.loads(run_in(environment, "python", "-c", script)) == []


def run_in(environment: Path, program: str, *arguments: str) -> str:
    command = [str(environment / "bin" / program), *arguments]
    return subprocess.run(command, cwd="/", check=True, capture_output=True, text=True, timeout=60).stdout


class Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def healthy_or_not() -> Iterator[HTTPServer]:
    """A server whose health is `Health.status`."""
    server = HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def health_checks() -> list[str]:
    """Returns the Python of every health check: of the image, and of each service that has one in Python."""
    (image,) = [json.loads(value[value.index("[") :]) for word, value in dockerfile() if word == "HEALTHCHECK"]
    tests = [service.get("healthcheck", {}).get("test", []) for service in compose()["services"].values()]
    commands = [image, *(test[1:] for test in tests)]
    return [command[2] for command in commands if command[:2] == ["python", "-c"]]


def test_health_checks_need_no_curl_and_tell_health(healthy_or_not, monkeypatch):
    checks = health_checks()
    assert len(checks) == 3
    port = healthy_or_not.server_address[1]
    for status, code in ((200, 0), (503, 1)):
        monkeypatch.setattr(Health, "status", status)
        for check in checks:
            script = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", check)
            assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == code
    everything = (ROOT / "Dockerfile").read_text() + (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"\b(?:curl|wget|nc)\b", everything)
