"""The page about bound tokens, run as a newcomer would run it: a client, and a service that demands them."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from dev_process import Dev
from httpx2 import ASGITransport, AsyncClient
from proofs import proof
from test_documents_run import on, wait_for_the_service

PAGE = Path(__file__).parents[2] / "docs/dpop.md"


def examples() -> list[str]:
    """The client, and the service."""
    found = re.findall(r"<!-- tested -->\n```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(found) == 2
    return found


def test_the_client_of_the_page_gets_uses_and_refreshes_a_bound_token(make_dev) -> None:
    """V13, A53: at real processes, with a nonce; and what was stolen from it is refused."""
    dev = make_dev(IDENTITY_DPOP_NONCE="true")
    dev.start()
    wait_for_the_service(dev)
    argv = [sys.executable, "-c", on(dev, examples()[0])]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


async def test_the_service_of_the_page_demands_a_proof(dev: Dev) -> None:
    """V13: with tokens of a real server; a bearer token is not enough, bound or not."""
    names: dict[str, object] = {}
    exec(compile(on(dev, examples()[1]), str(PAGE), "exec"), names)
    app = names["app"]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))  # type: ignore[attr-defined]
        http = await stack.enter_async_context(AsyncClient(transport=ASGITransport(app=app), base_url="http://inside"))
        form = {"grant_type": "password", "username": "alice", "password": "wonderland"}
        issuer = await stack.enter_async_context(AsyncClient(base_url=dev.issuer))
        made = {"DPoP": proof("POST", f"{dev.issuer}/token")}
        bound = (await issuer.post("/token", data=form, headers=made)).json()["access_token"]
        bearer = (await issuer.post("/token", data=form)).json()["access_token"]
        for token in (bound, bearer):
            refused = await http.get("/orders", headers={"Authorization": f"Bearer {token}"})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("DPoP ")
        headers = {"Authorization": f"DPoP {bound}", "DPoP": proof("GET", f"{dev.orders}/orders", bound)}
        assert (await http.get("/orders", headers=headers)).status_code == 200
        assert (await http.get("/orders", headers=headers)).json()["error"] == "invalid_dpop_proof"
