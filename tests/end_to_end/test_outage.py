"""The real server and a real verifier, with something between them broken: its feed, or all of it."""

from __future__ import annotations

import asyncio
import json
import time

from test_story import log_in

from identity.verifier import Credential, InvalidToken, Refusal, Verifier


def credential_of(dev) -> Credential:
    """Returns what the demo's service calls itself to the server."""
    return Credential("orders", json.loads((dev.data_dir / "demo.json").read_text())["resource_secret"])


async def is_revoked(verifier: Verifier, token: str) -> bool:
    try:
        await verifier.verify(token)
    except InvalidToken as error:
        return error.code == Refusal.REVOKED
    return False


async def test_a_logout_reaches_a_service_whose_feed_is_silent_when_it_asks(dev, connect):
    """I5, A56: within the server's 2 s and the second that an answer is remembered."""
    issuer = connect(dev.issuer)
    tokens, others = await log_in(issuer), await log_in(issuer, "bob", "builder")
    settings = {"credential": credential_of(dev), "when_stale": "introspect", "max_staleness": 0.5}
    async with Verifier(dev.issuer, dev.orders, **settings) as verifier:
        await verifier.verify(tokens["access_token"])
        following = verifier._tasks[1]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        while (verifier.status().feed_staleness or 0) <= 0.5:
            await asyncio.sleep(0.05)
        cursor = verifier.status().feed_cursor
        await verifier.verify(tokens["access_token"])
        assert (await issuer.form("/revoke", token=tokens["refresh_token"])).status == 200
        deadline = time.monotonic() + 4
        while not await is_revoked(verifier, tokens["access_token"]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert (await verifier.verify(others["access_token"])).client_id == "demo"
        assert verifier.status().feed_cursor == cursor


async def test_a_service_starts_while_the_issuer_is_down(dev, connect, tmp_path):
    """V18, F17: with the keys and the revocations that an earlier process of it wrote down."""
    issuer = connect(dev.issuer)
    tokens, others = await log_in(issuer), await log_in(issuer, "bob", "builder")
    settings = {"credential": credential_of(dev), "when_stale": "reject", "snapshot": tmp_path / "verifier.json"}
    async with Verifier(dev.issuer, dev.orders, **settings) as before:
        await before.verify(tokens["access_token"])
        assert (await issuer.form("/revoke", token=tokens["refresh_token"])).status == 200
        async with asyncio.timeout(4):
            while before.status().rules == 0:
                await asyncio.sleep(0.02)
    assert dev.stop() == 0
    async with Verifier(dev.issuer, dev.orders, **settings) as after:
        assert (await after.verify(others["access_token"])).client_id == "demo"
        assert await is_revoked(after, tokens["access_token"])
