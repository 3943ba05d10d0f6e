"""`POST /introspect`: who may ask, what is active, and that nothing is said about the rest."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from httpx2 import Response
from issuer_in_process import NOTES, ORDERS, RESOURCE, SERVICE, Issuer, granted, refusal

from identity.feed.rules import Rule
from identity.feed.rules import token_digests as server_digests
from identity.keyring.signers import base64url
from identity.store.embedded import EmbeddedValkey
from identity.tokens.access_token import AccessTokenGrant, AccessTokenMint
from identity.verifier.claims import Expected, read_claims
from identity.verifier.profile import RuleKind
from identity.verifier.revocations import token_digests as verifier_digests

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
INACTIVE = b'{"active":false}'
OTHER = "https://bills.example"


async def ask(issuer: Issuer, token: str, auth: tuple[str, str] | None = RESOURCE, **fields: str) -> Response:
    return await issuer.http.post("/introspect", data={"token": token, **fields}, auth=auth)


def is_inactive(response: Response) -> bool:
    """To the letter, and for nobody to keep (A56)."""
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.headers["cache-control"] == "no-store"
    return response.content == INACTIVE


def minted(issuer: Issuer, *, audience: str = ORDERS, kind: str = "at+jwt", at: int | None = None, rev: int = 0) -> str:
    """A token that this server's key signs, as it would not mint it now."""
    grant = AccessTokenGrant("alice", "demo", audience, kind, ("orders:read",), rev, "g1")
    return AccessTokenMint(issuer.settings.issuer, 600).mint(
        issuer.signer, grant, int(time.time()) if at is None else at
    )


async def test_a_good_token_is_active_with_what_it_says(issuer: Issuer) -> None:
    """RFC 7662 section 2.2."""
    token = granted(await issuer.login())["access_token"]
    response = await ask(issuer, token)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    claims = await issuer.claims(token)
    assert response.json() == {"active": True, "token_type": "Bearer", **claims}
    assert claims["aud"] == ORDERS


async def test_the_secret_may_come_in_the_form(issuer: Issuer) -> None:
    """A54, A56: both methods of the metadata work."""
    token = granted(await issuer.login())["access_token"]
    name, secret = RESOURCE
    assert (await ask(issuer, token, None, client_id=name, client_secret=secret)).json()["active"] is True


@pytest.mark.parametrize(
    "auth",
    [None, ("orders", "wrong"), ("orders", ""), ("nobody", NOTES.resource_secret), SERVICE, ("", "")],
    ids=["none", "wrong", "empty", "unknown", "client", "blank"],
)
async def test_only_resources_may_ask(issuer: Issuer, auth: tuple[str, str] | None) -> None:
    """A56: also not about garbage, also not where the feed is public."""
    for token in (granted(await issuer.login())["access_token"], "x"):
        assert refusal(await ask(issuer, token, auth)) == (401, "invalid_client")


async def test_a_public_feed_makes_no_public_introspection(start_issuer: StartIssuer) -> None:
    """A56."""
    async with start_issuer(feed_public=True) as issuer:
        assert refusal(await ask(issuer, "x", None)) == (401, "invalid_client")


async def test_only_a_form_may_ask(issuer: Issuer) -> None:
    """A56: never the address, which ends up in logs."""
    token = granted(await issuer.login())["access_token"]
    http = issuer.http
    assert refusal(await http.get("/introspect", params={"token": token}, auth=RESOURCE)) == (405, "invalid_request")
    assert refusal(await http.post("/introspect", json={"token": token}, auth=RESOURCE)) == (415, "invalid_request")
    in_query = await http.post(f"/introspect?token={token}", data={"x": "y"}, auth=RESOURCE)
    assert refusal(in_query) == (400, "invalid_request")
    bearer = {"Authorization": f"Bearer {token}"}
    assert refusal(await http.post("/introspect", data={"token": token}, headers=bearer)) == (401, "invalid_client")
    twice = {
        "content": f"token={token}&token={token}",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    assert refusal(await http.post("/introspect", auth=RESOURCE, **twice)) == (400, "invalid_request")


async def test_the_token_is_required(issuer: Issuer) -> None:
    """RFC 7662 section 2.1."""
    assert refusal(await ask(issuer, "")) == (400, "invalid_request")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "AAAA" + "A" * 22 + ".0." + "A" * 22,
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6W119.e30.eA",
        base64url(b'{"kid":' + b"[" * 4000) + ".e30.eA",
        "é" * 100,
        "x" * 60_000,
    ],
    ids=lambda token: token[:16],
)
async def test_what_is_no_token_of_ours_is_not_active(issuer: Issuer, token: str) -> None:
    """A56."""
    assert is_inactive(await ask(issuer, token))


async def test_a_foreign_signature_is_not_active(issuer: Issuer) -> None:
    """A56."""
    header, payload, signature = granted(await issuer.login())["access_token"].split(".")
    assert is_inactive(await ask(issuer, f"{header}.{payload}.{'A' * 8}{signature[8:]}"))


async def test_a_refresh_token_is_never_active_for_a_resource(issuer: Issuer) -> None:
    """A56: it is for this server alone, and a service that got hold of one learns nothing about it."""
    body = granted(await issuer.login())
    for hint in ("", "refresh_token"):
        assert is_inactive(await ask(issuer, body["refresh_token"], token_type_hint=hint))


@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "nonsense"])
async def test_the_hint_is_only_a_hint(issuer: Issuer, hint: str) -> None:
    """RFC 7662 section 2.1."""
    token = granted(await issuer.login())["access_token"]
    assert (await ask(issuer, token, token_type_hint=hint)).json()["active"] is True


async def test_an_expired_token_is_not_active(issuer: Issuer) -> None:
    """A56: this server's own clock minted it, so nothing is forgiven."""
    assert is_inactive(await ask(issuer, minted(issuer, at=int(time.time()) - 601)))
    assert (await ask(issuer, minted(issuer, at=int(time.time()) - 590))).json()["active"] is True


async def test_a_token_of_a_replica_whose_clock_is_ahead_is_active(issuer: Issuer) -> None:
    """DESIGN 10: clocks differ by up to 5 s."""
    assert (await ask(issuer, minted(issuer, at=int(time.time()) + 4))).json()["active"] is True


async def test_a_resource_learns_about_its_own_tokens_only(issuer: Issuer) -> None:
    """A56."""
    _, secret = await issuer.resources.create("bills", OTHER, ["bills:read"])
    await issuer.settled()
    token = granted(await issuer.login())["access_token"]
    assert is_inactive(await ask(issuer, token, ("bills", secret)))
    assert is_inactive(await ask(issuer, minted(issuer, audience=OTHER)))
    assert (await ask(issuer, minted(issuer, audience=OTHER), ("bills", secret))).json()["aud"] == OTHER


async def test_another_type_of_token_is_active_only_where_the_resource_was_registered_with_it(issuer: Issuer) -> None:
    """V03: what this server signs for another purpose never passes for an access token."""
    assert is_inactive(await ask(issuer, minted(issuer, kind="JWT")))
    _, secret = await issuer.resources.create("bills", OTHER, ["bills:read"], token_type="JWT")
    await issuer.settled()
    token = minted(issuer, audience=OTHER, kind="JWT")
    assert (await ask(issuer, token, ("bills", secret))).json()["active"] is True


RULES: list[tuple[RuleKind, tuple[str, ...]]] = [
    (RuleKind.GRANT, ("g1",)),
    (RuleKind.SUBJECT, ("alice",)),
    (RuleKind.CLIENT, ("demo",)),
    (RuleKind.AUDIENCE_SCOPE, (ORDERS, "orders:read")),
    (RuleKind.EVERYTHING, ()),
]


async def add(issuer: Issuer, kind: RuleKind, *values: str) -> int:
    async with issuer.stores.ledger.change() as change:
        change.revoke(Rule.revoking(kind, *values))
    return await issuer.settled()


@pytest.mark.parametrize(("kind", "values"), RULES, ids=[row[0].value for row in RULES])
async def test_a_rule_of_every_kind_ends_what_was_minted_before_it(
    issuer: Issuer, kind: RuleKind, values: tuple[str, ...]
) -> None:
    """A56: what verifiers refuse, and nothing else."""
    before = (await issuer.stores.journal.head()).seq
    token = minted(issuer, rev=before)
    assert (await ask(issuer, token)).json()["active"] is True
    seq = await add(issuer, kind, *values)
    assert is_inactive(await ask(issuer, token))
    assert (await ask(issuer, minted(issuer, rev=seq))).json()["active"] is True


async def test_a_withdrawn_key_s_tokens_are_not_active_whatever_they_say(issuer: Issuer) -> None:
    """K06: this replica's folder may still have the key."""
    token = minted(issuer, rev=10**6)
    await add(issuer, RuleKind.KEY, issuer.signer.kid)
    assert is_inactive(await ask(issuer, token))


@pytest.mark.parametrize("way", ["revoke", "service", "disable"])
async def test_what_ends_a_token_makes_it_inactive(issuer: Issuer, way: str) -> None:
    """A56."""
    answer = await (issuer.service_token() if way == "service" else issuer.login("bob"))
    token = granted(answer)["access_token"]
    assert (await ask(issuer, token)).json()["active"] is True
    if way == "disable":
        await issuer.people.disable("bob")
    else:
        assert (await issuer.revoke(token, SERVICE if way == "service" else None)).status_code == 200
    await issuer.settled()
    assert is_inactive(await ask(issuer, token))


async def test_both_ends_name_a_token_alike(issuer: Issuer) -> None:
    """DESIGN 8: the server's picture and a verifier's are asked the same question."""
    for answer in (await issuer.login(), await issuer.service_token()):
        claims = {**await issuer.claims(granted(answer)["access_token"]), "sid": "s1"}
        expected = Expected(claims["iss"], ORDERS, 30, revision=True)
        token = read_claims(json.dumps(claims).encode(), "kid", expected, time.time())
        assert set(server_digests(claims, ORDERS)) == set(verifier_digests(token, ORDERS))


async def test_a_server_that_may_have_missed_a_rule_does_not_answer(start_issuer: StartIssuer, site: Path) -> None:
    """A56, I5: also not about a good token."""
    valkey = EmbeddedValkey(site / "data")
    valkey.start()
    try:
        async with start_issuer(redis_url=valkey.url) as issuer:
            token = granted(await issuer.login())["access_token"]
            assert (await ask(issuer, token)).json()["active"] is True
            valkey.stop()
            assert refusal(await ask(issuer, token)) == (503, "temporarily_unavailable")
    finally:
        valkey.stop()


async def test_a_stopping_server_still_hears_what_is_revoked(issuer: Issuer) -> None:
    """A56, F18: it answers what it has accepted for ten seconds more; a poll ends at once."""
    token = granted(await issuer.login())["access_token"]
    issuer.app.state.follower.stop_waiting()
    assert (await ask(issuer, token)).json()["active"] is True
    grant_id = (await issuer.claims(token))["grant_id"]
    async with issuer.stores.ledger.change() as change:
        change.revoke(Rule.revoking(RuleKind.GRANT, grant_id))
    async with asyncio.timeout(1):
        while not is_inactive(await ask(issuer, token)):
            await asyncio.sleep(0.01)
        assert (await issuer.feed(wait="25")).status_code == 200
