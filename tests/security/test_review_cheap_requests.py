"""What a stranger, or a client, can send again and again for nothing must not stay on disk or hold a place (F21)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from issuer_in_process import SERVICE, Issuer, granted, refusal
from sqlmodel import col, select

from identity.models import AuditEvent
from identity.oauth.registration.new_client import NewClient
from identity.web import bodies


async def refusals(issuer: Issuer) -> list[AuditEvent]:
    """The refused token requests in the audit trail, up to the login that this writes behind them."""
    granted(await issuer.login("bob"))
    query = select(AuditEvent).where(col(AuditEvent.event).startswith("token.")).order_by(col(AuditEvent.id))
    async with asyncio.timeout(5):
        while True:
            async with issuer.stores.database.read() as session:
                events = list((await session.scalars(query)).all())
            if events and events[-1].event == "token.issued":
                return [event for event in events if event.event == "token.refused"]
            await asyncio.sleep(0.02)


async def test_invented_refresh_tokens_leave_nothing_in_the_audit_trail(issuer: Issuer) -> None:
    """F19, F21: they prove nothing and name nobody; a thousand a second would fill the disk."""
    for number in range(20):
        invented = "AAAA" + "A" * 22 + f".{number}." + "A" * 22
        assert refusal(await issuer.refresh(invented)) == (400, "invalid_grant")
    assert await refusals(issuer) == []


async def test_a_real_refresh_token_in_the_wrong_hands_is_in_the_audit_trail(issuer: Issuer) -> None:
    """A44: whoever has it took it from somebody, and the trail says from whom."""
    await issuer.clients.create(
        NewClient("other-app", ("password", "refresh_token"), ("orders:read",), authentication_method="none")
    )
    await issuer.settled()
    body = granted(await issuer.login())
    answer = await issuer.refresh(body["refresh_token"], client_id="other-app")
    assert refusal(answer) == (400, "invalid_grant")
    (event,) = await refusals(issuer)
    assert (event.client_id, event.detail) == ("other-app", "refresh_token: issued to another client")
    assert event.subject == (await issuer.claims(body["access_token"]))["sub"]


async def test_revoking_one_token_again_and_again_makes_one_rule(issuer: Issuer) -> None:
    """A55, F21: each rule is kept by SQL, Redis, every server and every verifier for a quarter of an hour."""
    token = granted(await issuer.service_token())["access_token"]
    for _ in range(5):
        assert (await issuer.revoke(token, SERVICE)).status_code == 200
    assert [rule[1] for rule in await issuer.rules()] == ["jti"]


async def test_a_body_that_does_not_come_is_not_waited_for(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """F21: 408 within ten seconds, however slowly it trickles."""
    assert bodies.BODY_SECONDS <= 10
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield b"a"
            await asyncio.sleep(0.02)

    began = time.monotonic()
    response = await issuer.http.post(
        "/token", content=trickle(), headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert refusal(response) == (408, "invalid_request")
    assert time.monotonic() - began < 4
