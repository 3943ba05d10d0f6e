"""`identity keys compromise`, from the command line to the service that verifies."""

from __future__ import annotations

import json
from typing import Any

from dev_process import Dev
from test_story import log_in


async def test_tokens_of_a_stolen_key_are_refused_and_people_go_on(dev: Dev, connect: Any) -> None:
    """K06, F16: within a stated bound, and the session survives."""
    tokens = await log_in(connect(dev.issuer))
    orders = connect(dev.orders)
    assert (await orders.get("/orders", tokens["access_token"])).status == 200
    listed = json.loads(dev.command("keys", "list", "--json").stdout)
    stolen, following = (
        next(each["kid"] for each in listed if each["state"] == state) for state in ("current", "next")
    )

    folder = dev.folder / "reports"
    done = dev.command("keys", "compromise", stolen, "--report", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["withdrawn"], told["kid"], told["reached_servers"]) == ([stolen], following, True)
    assert (told["acknowledged"], told["late"]) == (1, [])
    document, text = sorted(folder.iterdir())
    written = json.loads(document.read_text())
    assert [len(written["verifiers"][which]) for which in ("acknowledged", "late")] == [1, 0]
    assert written["sessions"]["holders"] == [{"client_id": "demo", "audience": dev.orders, "sessions": 1}]
    assert {each["kid"] for each in written["tokens"]["hours"]} == {stolen}
    assert text.read_text().startswith("# Withdrawn signing keys")
    assert tokens["refresh_token"].partition(".")[0] not in document.read_text() + text.read_text()

    answer = await orders.get("/orders", tokens["access_token"])
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")
    fresh = await connect(dev.issuer).form("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (await orders.get("/orders", fresh.json()["access_token"])).status == 200
    states = {each["kid"]: each["state"] for each in json.loads(dev.command("keys", "list", "--json").stdout)}
    assert (states[stolen], states[following]) == ("withdrawn", "current")
