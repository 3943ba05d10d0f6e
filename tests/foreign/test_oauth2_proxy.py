"""oauth2-proxy with the settings of docs/clients.md. No package brings it, so it is asked for: go install
github.com/oauth2-proxy/oauth2-proxy/v7@latest, and pytest -m experiment tests/foreign (must show 1)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from client_pages import sections
from dev_process import free_ports, wait_until
from person import Person

pytestmark = pytest.mark.experiment


@contextmanager
def oauth2_proxy(folder: Path, port: int, settings: str) -> Iterator[None]:
    """Runs it until the block ends."""
    program = shutil.which("oauth2-proxy")
    assert program, "put oauth2-proxy on PATH to run this experiment"
    (folder / "proxy.cfg").write_text(f'{settings}http_address = "127.0.0.1:{port}"\ncookie_secure = false\n')

    def answers() -> bool:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/ping", timeout=1):
            return True
        return process.poll() is not None

    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen([program, "--config", "proxy.cfg"], cwd=folder, stdout=output, stderr=output)
    try:
        wait_until(answers, 10)
        assert process.poll() is None, (folder / "output.txt").read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


def test_a_person_passes_oauth2_proxy(dev, run_command, tmp_path):
    (port,) = free_ports(1)
    app = f"http://127.0.0.1:{port}"
    told = sections("clients.md")["oauth2-proxy"].at(issuer=dev.issuer, app=app)
    (tmp_path / "client-secret").write_text(run_command(*told.command)["client_secret"])
    (tmp_path / "cookie-secret").write_text("k" * 32)
    here = {"/etc/oauth2-proxy": str(tmp_path), "http://127.0.0.1:8080": dev.orders}
    person = Person(dev.issuer)
    with oauth2_proxy(tmp_path, port, told.replaced(here).blocks("ini")[0]):
        assert person.visit(f"{app}/oauth2/start?rd=/").json()["service"] == "orders"
        seen = person.visit(f"{app}/oauth2/userinfo").json()
        assert (seen["email"], seen["preferredUsername"]) == ("alice@example.com", "alice")
