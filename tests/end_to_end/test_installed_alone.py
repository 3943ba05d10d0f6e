"""Must show 6: what a resource service installs, in an environment that holds nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_documents_run import blocks_of
from test_story import log_in

ROOT = Path(__file__).parents[2]
SERVER_PARTS = ("fastapi", "starlette", "sqlmodel", "sqlalchemy", "redis", "typer", "pydantic", "uvicorn", "argon2")

_VERIFY = """
import asyncio, importlib.util, json, sys
from identity.verifier import InvalidToken, Verifier

async def main():
    verifier = Verifier(issuer=sys.argv[1], audience=sys.argv[2])
    token = await verifier.verify(sys.argv[3])
    try:
        await verifier.verify(sys.argv[3][:-8] + "AAAAAAAA")
    except InvalidToken as error:
        refused = error.code
    await verifier.aclose()
    installed = [name for name in json.loads(sys.argv[4]) if importlib.util.find_spec(name)]
    print(json.dumps({"subject": token.subject, "scopes": sorted(token.scopes), "refused": refused, "installed": installed}))

asyncio.run(main())
"""

_PROTECT = """
import asyncio, json, sys
from typing import Annotated
import httpx2
from fastapi import FastAPI, Security
from identity.verifier import Verifier, VerifiedToken
from identity.verifier.fastapi import BearerGuard

guard = BearerGuard(Verifier(issuer=sys.argv[1], audience=sys.argv[2]))
app = FastAPI()

@app.get("/")
async def orders(token: Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])]) -> str:
    return token.subject

async def main():
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://orders") as client:
        good = await client.get("/", headers={"Authorization": "Bearer " + sys.argv[3]})
        bad = await client.get("/", headers={"Authorization": "Bearer nonsense"})
    print(json.dumps({"good": good.status_code, "subject": good.json(), "bad": bad.status_code}))

asyncio.run(main())
"""

_TRY_OUT = """
import asyncio, importlib.util, json
from identity.testing import LocalIssuer
from identity.verifier import Verifier

async def main():
    with LocalIssuer("https://orders.example") as issuer:
        async with Verifier(issuer.url, "https://orders.example") as verifier:
            token = await verifier.verify(issuer.token("bob"))
    print(json.dumps({"subject": token.subject, "pytest": importlib.util.find_spec("pytest") is not None}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The distribution as it would be published."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(["uv", "build", "--wheel", "--out-dir", str(folder)], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def install(wheel: Path, folder: Path, extra: str = "") -> Path:
    """Makes a clean environment with the wheel, and returns its Python."""
    python = folder / "bin" / "python"
    subprocess.run(["uv", "venv", "--python", sys.executable, str(folder)], check=True, capture_output=True)
    target = f"{wheel}[{extra}]" if extra else str(wheel)
    subprocess.run(["uv", "pip", "install", "--python", str(python), target], check=True, capture_output=True)
    return python


def run(python: Path, script: str, *arguments: str) -> dict[str, object]:
    """Runs a script far away from the sources, and returns the JSON it prints."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(python), "-W", "error", "-c", script, *arguments],
        cwd="/",
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def token_of(connect, dev) -> str:
    return (await log_in(connect(dev.issuer)))["access_token"]


async def test_the_base_install_verifies_and_brings_nothing_of_the_server(wheel, dev, tmp_path, connect):
    python = install(wheel, tmp_path / "base")
    told = run(
        python,
        _VERIFY,
        dev.issuer,
        "http://127.0.0.1:" + str(dev.resource_port),
        await token_of(connect, dev),
        json.dumps(SERVER_PARTS),
    )
    assert told["scopes"] == ["orders:read"]
    assert told["installed"] == []
    assert told["refused"]


async def test_the_fastapi_extra_protects_an_endpoint(wheel, dev, tmp_path, connect):
    python = install(wheel, tmp_path / "fastapi", "fastapi")
    told = run(python, _PROTECT, dev.issuer, "http://127.0.0.1:" + str(dev.resource_port), await token_of(connect, dev))
    assert (told["good"], told["bad"]) == (200, 401)


def test_the_command_without_the_server_names_the_one_command_that_installs_it(wheel, tmp_path):
    python = install(wheel, tmp_path / "bare")
    done = subprocess.run([str(python.parent / "identity"), "dev"], cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.strip() == "identity: the server is not installed; run: pip install 'identity-seam[server]'"


def test_the_base_install_has_an_issuer_for_tests_and_no_pytest(wheel, tmp_path):
    assert run(install(wheel, tmp_path / "base"), _TRY_OUT) == {"subject": "bob", "pytest": False}


def test_the_testing_extra_brings_the_fixtures(wheel, tmp_path):
    """The example of docs/testing.md, in an environment that has the wheel and nothing of this repository."""
    python = install(wheel, tmp_path / "tested", "fastapi,testing")
    (tmp_path / "test_orders.py").write_text(blocks_of("docs/testing.md", "python")[0])
    command = [str(python), "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_orders.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_base_install_can_check_a_service(wheel, tmp_path):
    """It says that nothing listens, without one library of the server."""
    python = install(wheel, tmp_path / "checking")
    asked = ["check-resource", "http://127.0.0.1:1/", "--audience", "a", "--wait", "0", "--issuer-port", "0"]
    program = [str(python.parent / "identity"), *asked]
    done = subprocess.run(program, cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "identity: nothing answers at http://127.0.0.1:1/"
