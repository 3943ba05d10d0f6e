"""The feed behind several server processes, and before readers who wish it ill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from issuer_in_process import Issuer, granted

from identity.feed.rules import Rule
from identity.store.sql.change import changes
from identity.verifier.profile import RuleKind

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]


async def test_a_server_behind_the_verifier_catches_up_before_it_answers(issuer: Issuer) -> None:
    """I2: a snapshot from the slower of two servers would take back what the faster one had told: a token that was refused a
    moment ago would be accepted again."""
    token = granted(await issuer.login())["refresh_token"]
    assert (await issuer.revoke(token)).status_code == 200
    await issuer.settled()
    known = (await issuer.feed()).json()
    async with changes(issuer.stores.database, 990, 3600)() as change:
        change.revoke(Rule.ending(RuleKind.GRANT, "told-by-another-server"))
    ahead = f"{known['epoch']}.{known['seq'] + 1}"
    answer = (await issuer.feed(cursor=ahead)).json()
    assert (answer["snapshot"], answer["seq"], answer["rules"]) == (False, known["seq"] + 1, [])


async def test_a_server_that_cannot_catch_up_says_so(issuer: Issuer) -> None:
    """I5: it neither answers with less than the verifier knows nor keeps it waiting."""
    known = (await issuer.feed()).json()
    issuer.app.state.follower.close()
    async with asyncio.timeout(5):
        response = await issuer.feed(cursor=f"{known['epoch']}.{known['seq'] + 1}")
    assert response.status_code == 503


async def test_anonymous_readers_leave_room_for_authenticated_ones(
    start_issuer: StartIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 8: capped. Else a stranger with two thousand idle connections makes every verifier stale."""
    # Fewer places: two thousand clients in the process of the server would keep it busy for longer than it may be.
    monkeypatch.setattr("identity.web.feed._MAX_ANONYMOUS_POLLS", 20)
    async with start_issuer(feed_public=True) as issuer:
        known = (await issuer.feed()).json()
        cursor = f"{known['epoch']}.{known['seq']}"
        polls = [asyncio.create_task(issuer.feed(auth=None, cursor=cursor, wait=20)) for _ in range(40)]
        (refused, *_), _ = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        answer = await issuer.feed(cursor=cursor, wait=0.1)
        issuer.app.state.follower.close()
        await asyncio.gather(*polls)
        assert refused.result().status_code == 503
        assert answer.status_code == 200
