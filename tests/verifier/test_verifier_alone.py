"""What importing the verifier costs, and what a forked worker does with one made before the fork."""

from __future__ import annotations

import subprocess
import sys

from fake_issuer import JWKS, FakeIssuer

SERVER_MODULES = "fastapi starlette sqlmodel sqlalchemy redis typer pydantic pydantic_settings uvicorn structlog rich"

IMPORT = f"""
import sys
import identity.verifier
loaded = set(sys.modules)
unwanted = loaded & set({SERVER_MODULES!r}.split())
ours = {{name for name in loaded if name.startswith("identity.") and not name.startswith("identity.verifier")}}
assert not unwanted, unwanted
assert not ours, ours
assert "identity.verifier.fastapi" not in loaded
"""

FORK = r"""
import asyncio, os, sys
from identity.verifier import Verifier

verifier = Verifier(sys.argv[1], "http://orders.example")
token = sys.argv[2]

async def use():
    await verifier.verify(token)
    await asyncio.sleep(0.3)
    os.write(1, f"{os.getpid()} {len(verifier._tasks)}\n".encode())  # at once: the children share the pipe

asyncio.run(use())
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        asyncio.run(use())
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitpid(child, 0)[1] for child in children))
"""


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", program, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_importing_the_verifier_loads_nothing_of_the_server() -> None:
    run(IMPORT)


def test_verifier_made_and_used_before_a_fork_works_in_every_child(issuer: FakeIssuer) -> None:
    """Prefork servers: keys are inherited, background work is each process's own."""
    lines = run(FORK, issuer.url, issuer.mint()).split("\n")[:-1]
    assert len({line.split()[0] for line in lines}) == 3
    assert {line.split()[1] for line in lines} == {"1"}
    assert issuer.hits[JWKS] == 3
