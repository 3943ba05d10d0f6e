"""Must show 4 and 5: refreshes at the same moment, a replay, and everything killed at once."""

from __future__ import annotations

import asyncio
import os
import signal

from dev_process import wait_until
from test_story import log_in
from wire import Wire

AT_ONCE = 50


async def refresh(wire: Wire, token: str):
    return await wire.form("/token", grant_type="refresh_token", refresh_token=token)


async def test_fifty_refreshes_at_once_get_one_successor_and_a_replay_ends_the_grant(make_dev, connect):
    """A45, A46: within the window every success carries the same refresh token; after it, reuse ends the grant and the
    access tokens issued under it."""
    dev = make_dev(IDENTITY_REFRESH_RETRY_WINDOW="2")
    dev.start()
    wires = [connect(dev.issuer) for _ in range(AT_ONCE)]
    tokens = await log_in(wires[0])
    answers = await asyncio.gather(*(refresh(wire, tokens["refresh_token"]) for wire in wires))
    assert [answer.status for answer in answers] == [200] * AT_ONCE
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    issued = [answer.json()["access_token"] for answer in answers]
    orders = connect(dev.orders)
    assert [(await orders.get("/me", token)).status for token in issued] == [200] * AT_ONCE
    await asyncio.sleep(2.1)  # the retry window itself is what is waited for
    replay = await refresh(wires[0], tokens["refresh_token"])
    assert (replay.status, replay.json()["error"]) == (400, "invalid_grant")
    survivor = await refresh(wires[0], successors.pop())
    assert (survivor.status, survivor.json()["error"]) == (400, "invalid_grant")
    async with asyncio.timeout(2):
        for token in issued:
            while (await orders.get("/me", token)).status != 401:
                await asyncio.sleep(0.02)


async def test_a_kill_of_everything_at_once_loses_nothing(make_dev, connect):
    """Sessions still refresh, what was revoked stays revoked, and no process is left over."""
    dev = make_dev()
    dev.start()
    issuer = connect(dev.issuer)
    living = [await log_in(issuer) for _ in range(5)]
    living = [(await refresh(issuer, tokens["refresh_token"])).json() for tokens in living]
    ended = await log_in(issuer)
    assert (await issuer.form("/revoke", token=ended["refresh_token"])).status == 200
    victims = dev.processes()
    assert len(victims) >= 4  # the command, the server, Valkey, the example service
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    dev.process.wait(10)
    wait_until(lambda: dev.processes() == [], 10)
    dev.start()
    issuer, orders = connect(dev.issuer), connect(dev.orders)
    for tokens in living:
        assert (await refresh(issuer, tokens["refresh_token"])).status == 200
        assert (await orders.get("/me", tokens["access_token"])).status == 200
    refused = await refresh(issuer, ended["refresh_token"])
    assert (refused.status, refused.json()["error"]) == (400, "invalid_grant")
    assert (await orders.get("/me", ended["access_token"])).status == 401
    assert dev.stop() == 0
    assert dev.processes() == []


async def test_a_kill_of_server_and_valkey_is_noticed_by_the_command_which_leaves_no_orphan(make_dev, connect):
    """Killing only the two of them: the command brings nothing back halfway, it ends with a sentence."""
    dev = make_dev()
    dev.start()
    tokens = await log_in(connect(dev.issuer))
    for pid in [*dev.processes_of("identity.cli.server"), *dev.processes_of("valkey-server")]:
        os.kill(pid, signal.SIGKILL)
    assert dev.process.wait(30) == 1
    assert "the identity server" in dev.printed()
    wait_until(lambda: dev.processes() == [], 10)
    dev.start()
    assert (await refresh(connect(dev.issuer), tokens["refresh_token"])).status == 200
