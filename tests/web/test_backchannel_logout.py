"""Clients hear that a login ended (OpenID Connect Back-Channel Logout 1.0): A58, P09, over real sockets."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
from browser import CALLBACK, Flow, answer_of, redeem, sign_in
from issuer_in_process import ISSUER, RESOURCE, Issuer, granted
from logout_hearer import RelyingParty, claims_of, relying_party
from sqlmodel import select

from identity.administration.revocation import OperatorRevocation
from identity.models import AuditEvent, LogoutNotice
from identity.oauth.grants.sessions import Sessions
from identity.oauth.presented_token import TokenReader
from identity.oauth.registration.new_client import NewClient


async def register(issuer: Issuer, client_id: str, party: RelyingParty | None, **changes: Any) -> None:
    values: dict[str, Any] = {
        "grant_types": ("authorization_code", "refresh_token"),
        "scopes": ("openid", "orders:read"),
        "redirect_uris": (CALLBACK,),
        "post_logout_redirect_uris": (CALLBACK,),
        "authentication_method": "none",
        "is_trusted": True,
        "backchannel_logout_uri": party.knocks.url() if party else "",
    }
    await issuer.clients.create(NewClient(client_id, **{**values, **changes}))
    await issuer.settled()


async def tokens_of(issuer: Issuer, client_id: str, **changes: Any) -> dict[str, Any]:
    """Somebody signs in to the client, at a browser where nobody or the same person is logged in."""
    flow, asked = Flow(), {"client_id": client_id, "scope": "openid orders:read", **changes}
    answer = await issuer.http.get("/authorize", params=flow.parameters(**asked))
    if answer.headers["location"].startswith("/login"):
        code = (await sign_in(issuer, flow, **asked))["code"]
    else:
        code = answer_of(answer)["code"]
    return granted(await redeem(issuer, flow, code, client_id=client_id))


async def log_out(issuer: Issuer, tokens: dict[str, Any]) -> None:
    answer = await issuer.http.get("/logout", params={"id_token_hint": tokens["id_token"]})
    assert "You are signed out" in answer.text


async def heard_by(issuer: Issuer, party: RelyingParty, client_id: str, count: int = 1) -> list[dict[str, Any]]:
    jwks = (await issuer.http.get("/.well-known/jwks.json")).json()
    return [claims_of(token, jwks, ISSUER, client_id) for token in await party.hears(count)]


async def notices(issuer: Issuer) -> list[LogoutNotice]:
    async with issuer.stores.database.read() as session:
        return list((await session.scalars(select(LogoutNotice))).all())


async def settled(issuer: Issuer, left: int = 0) -> None:
    async with asyncio.timeout(20):
        while len(await notices(issuer)) != left:
            await asyncio.sleep(0.05)


async def event(issuer: Issuer, name: str) -> AuditEvent:
    """The one event of this name, once it is written."""
    async with asyncio.timeout(10):
        while True:
            async with issuer.stores.database.read() as session:
                if found := (await session.scalars(select(AuditEvent).where(AuditEvent.event == name))).all():
                    (one,) = found
                    return one
            await asyncio.sleep(0.05)


def said(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


async def test_a58_p09_a_client_hears_of_a_logout_by_a_token_it_can_verify(issuer: Issuer) -> None:
    """Exactly one event, the person and the login of its ID token, no nonce, two minutes; and it is told once."""
    async with relying_party() as shop:
        await register(issuer, "shop", shop)
        tokens = await tokens_of(issuer, "shop")
        await log_out(issuer, tokens)
        (heard,) = await heard_by(issuer, shop, "shop")
        assert (heard["sub"], heard["sid"]) == (said(tokens["id_token"])["sub"], said(tokens["id_token"])["sid"])
        assert set(heard) == {"iss", "sub", "aud", "iat", "exp", "jti", "events", "sid"}
        await settled(issuer)
        assert len(shop.tokens) == 1


async def test_a63_a_pairwise_client_hears_of_a_person_by_the_name_it_knows(start_issuer: Any) -> None:
    """A58: the public name would tell it who that is at other clients."""
    async with start_issuer(pairwise_key=secrets.token_hex(32)) as issuer, relying_party() as shop:
        await register(issuer, "shop", shop, subject_type="pairwise")
        tokens = await tokens_of(issuer, "shop")
        await log_out(issuer, tokens)
        (heard,) = await heard_by(issuer, shop, "shop")
        assert heard["sub"] == said(tokens["id_token"])["sub"] != said(tokens["access_token"])["sub"]


async def test_a58_only_who_took_part_hears(issuer: Issuer) -> None:
    """Not: a client without an address, one that nobody signed in to, one that did not ask who the person is, one of
    another login."""
    async with relying_party() as shop, relying_party() as mail, relying_party() as others:
        await register(issuer, "shop", shop)
        await register(issuer, "mail", mail)
        await register(issuer, "silent", None)
        for client_id in ("unused", "plain", "elsewhere"):
            await register(issuer, client_id, others)
        await tokens_of(issuer, "elsewhere")
        issuer.http.cookies.clear()
        await tokens_of(issuer, "shop")
        await tokens_of(issuer, "mail")
        await tokens_of(issuer, "plain", scope="orders:read")
        await log_out(issuer, await tokens_of(issuer, "silent"))
        (first,), (second,) = await heard_by(issuer, shop, "shop"), await heard_by(issuer, mail, "mail")
        assert first["sid"] == second["sid"]
        assert first["jti"] != second["jti"]
        await settled(issuer)
        assert others.tokens == []


async def test_a58_signing_out_twice_tells_once(issuer: Issuer) -> None:
    """And a login that is over is not told of again when everything of the person ends."""
    async with relying_party() as shop:
        await register(issuer, "shop", shop)
        tokens = await tokens_of(issuer, "shop")
        cookies = dict(issuer.http.cookies)
        await log_out(issuer, tokens)
        issuer.http.cookies.update(cookies)
        await log_out(issuer, tokens)
        await issuer.people.end_sessions("alice")
        await shop.hears()
        await settled(issuer)
        assert len(shop.tokens) == 1


ENDINGS: dict[str, Callable[[Issuer], Awaitable[None]]] = {
    "end_sessions": lambda issuer: issuer.people.end_sessions("alice"),
    "disable": lambda issuer: issuer.people.disable("alice"),
    "set_password": lambda issuer: issuer.people.set_password("alice", "through the looking glass"),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a58_u07_whatever_ends_everything_of_a_person_tells_of_every_login(issuer: Issuer, ending: str) -> None:
    """A48: at every browser, and nobody else's."""
    async with relying_party() as shop, relying_party() as mail:
        await register(issuer, "shop", shop)
        await register(issuer, "mail", mail)
        sids = []
        for _ in range(2):
            issuer.http.cookies.clear()
            sids.append(said((await tokens_of(issuer, "shop"))["id_token"])["sid"])
        await tokens_of(issuer, "mail")
        issuer.http.cookies.clear()
        flow = Flow()
        asked = {"client_id": "mail", "scope": "openid orders:read"}
        bob = await redeem(
            issuer, flow, (await sign_in(issuer, flow, "bob", "builder", **asked))["code"], client_id="mail"
        )
        await ENDINGS[ending](issuer)
        heard = await heard_by(issuer, shop, "shop", 2)
        assert {each["sid"] for each in heard} == set(sids)
        (other,) = await heard_by(issuer, mail, "mail")
        assert other["sid"] == sids[1]
        await settled(issuer)
        assert granted(await issuer.refresh(bob.json()["refresh_token"], client_id="mail"))
        assert len(mail.tokens) == 1


async def test_a58_a_role_that_is_taken_ends_no_login_and_nobody_hears(issuer: Issuer) -> None:
    async with relying_party() as shop:
        await register(issuer, "shop", shop)
        tokens = await tokens_of(issuer, "shop")
        await issuer.people.take_role("alice", "reader")
        await log_out(issuer, tokens)
        await shop.hears()
        await settled(issuer)
        assert len(shop.tokens) == 1


async def test_a58_a_client_hears_when_an_operator_ends_its_session(issuer: Issuer) -> None:
    """That one alone; the login goes on."""
    async with relying_party() as shop, relying_party() as mail:
        await register(issuer, "shop", shop)
        await register(issuer, "mail", mail)
        tokens, _ = await tokens_of(issuer, "shop"), await tokens_of(issuer, "mail")
        stores, live = issuer.stores, issuer.app.state.keys
        office = OperatorRevocation(
            stores.ledger,
            Sessions(stores.ledger, stores.families),
            TokenReader(stores.families, live, ISSUER),
            issuer.people,
            issuer.clients,
            "test",
        )
        await office.session(said(tokens["access_token"])["grant_id"])
        (heard,) = await heard_by(issuer, shop, "shop")
        assert heard["sid"] == said(tokens["id_token"])["sid"]
        await settled(issuer)
        assert mail.tokens == []


async def test_a58_a_client_that_refuses_is_not_asked_again(issuer: Issuer) -> None:
    """Section 2.8: 400. The audit trail says that it was not told."""
    async with relying_party(400) as shop:
        await register(issuer, "shop", shop)
        await log_out(issuer, await tokens_of(issuer, "shop"))
        await shop.hears()
        await settled(issuer)
        written = await event(issuer, "logout.not_told")
        assert (written.client_id, written.detail) == ("shop", "the client refused it")
        assert len(shop.tokens) == 1


async def test_a58_a_client_that_was_away_hears_later_of_the_same_thing(issuer: Issuer) -> None:
    """The same `jti`, in a token that is new."""
    async with relying_party(503, 204) as shop:
        await register(issuer, "shop", shop)
        await log_out(issuer, await tokens_of(issuer, "shop"))
        first, second = await shop.hears(2)
        assert said(first)["jti"] == said(second)["jti"]
        assert said(first)["exp"] < said(second)["exp"]
        await settled(issuer)


async def test_a58_a_client_that_hangs_holds_nobody_up(issuer: Issuer) -> None:
    """Neither the person who signs out, nor the client that answers."""
    async with relying_party() as slow, relying_party() as shop:
        slow.is_hanging = True
        await register(issuer, "slow", slow)
        await register(issuer, "shop", shop)
        await tokens_of(issuer, "slow")
        tokens = await tokens_of(issuer, "shop")
        async with asyncio.timeout(4):
            await log_out(issuer, tokens)
            await shop.hears()
            await slow.hears()
        await settled(issuer, left=1)


async def test_a58_p09_a62_a_logout_token_passes_for_no_other_token(issuer: Issuer) -> None:
    """GHSA-7fpj-9hr8-28vh and its like: not an access token, not a hint, not anything that can be exchanged or revoked."""
    async with relying_party() as shop:
        await register(issuer, "shop", shop)
        await log_out(issuer, await tokens_of(issuer, "shop"))
        (token,) = await shop.hears()
        told = await issuer.http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})
        everywhere = await issuer.http.post("/logout/everywhere", headers={"Authorization": f"Bearer {token}"})
        assert (told.status_code, everywhere.status_code) == (401, 401)
        inactive = await issuer.http.post("/introspect", data={"token": token}, auth=RESOURCE)
        assert inactive.json() == {"active": False}
        tokens = await tokens_of(issuer, "shop")
        page = await issuer.http.get("/logout", params={"id_token_hint": token, "post_logout_redirect_uri": CALLBACK})
        assert 'id="logout-confirm"' in page.text
        assert (await issuer.revoke(token, client_id="shop")).status_code == 200
        assert granted(await issuer.refresh(tokens["refresh_token"], client_id="shop"))
