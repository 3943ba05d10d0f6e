"""A stolen key: replaced, withdrawn and refused, while people keep their sessions (K06)."""

from __future__ import annotations

import asyncio

import jwt
import pytest
from issuer_in_process import Issuer, granted, refusal

from identity.administration.key_compromise import KeyCompromise
from identity.keyring.states import KeyringError, KeyState
from identity.store.redis.publications import RedisPublications
from identity.verifier.profile import RuleKind, rule_digest


def compromise_at(issuer: Issuer) -> KeyCompromise:
    return KeyCompromise(issuer.keys, issuer.stores.ledger, "test")


def kid_of(body: dict[str, str]) -> str:
    return str(jwt.get_unverified_header(body["access_token"])["kid"])


async def published(issuer: Issuer) -> set[str]:
    return {key["kid"] for key in (await issuer.http.get("/.well-known/jwks.json")).json()["keys"]}


async def withdrawn_digests(issuer: Issuer) -> set[bytes]:
    rules = [rule async for _, some in issuer.stores.journal.live() for rule in some]
    assert all(rule.expires_at is None for rule in rules if rule.kind == RuleKind.KEY)
    return {rule.digest for rule in rules if rule.kind == RuleKind.KEY}


async def until_published(issuer: Issuer, kids: set[str]) -> None:
    async with asyncio.timeout(5):
        while await published(issuer) != kids:
            await asyncio.sleep(0.02)


async def test_the_key_that_signs_is_replaced_by_the_one_every_verifier_has(issuer: Issuer) -> None:
    """DESIGN 6: whatever the gate says; the session goes on."""
    body = granted(await issuer.login())
    before, stolen = issuer.keys.list(), kid_of(body)
    done = await compromise_at(issuer).withdraw(stolen)
    assert done.reached_servers
    assert done.keyring.current.kid == before.next.kid
    await until_published(issuer, {done.keyring.current.kid, done.keyring.next.kid})
    assert await withdrawn_digests(issuer) == {rule_digest(RuleKind.KEY, stolen)}
    assert kid_of(granted(await issuer.refresh(body["refresh_token"]))) == before.next.kid
    assert not (issuer.settings.keys_dir / f"{stolen}.pem").exists()


async def test_a_stolen_next_key_never_signs(issuer: Issuer) -> None:
    before = issuer.keys.list()
    done = await compromise_at(issuer).withdraw(before.next.kid)
    assert done.keyring.current.kid == before.current.kid
    assert done.keyring.next.kid != before.next.kid
    await until_published(issuer, {before.current.kid, done.keyring.next.kid})
    assert await withdrawn_digests(issuer) == {rule_digest(RuleKind.KEY, before.next.kid)}


async def test_after_a_stolen_host_no_token_and_no_session_of_before_counts(issuer: Issuer) -> None:
    """`--all`: whoever has the folder can make any access token, and any refresh token."""
    body, before = granted(await issuer.login()), issuer.keys.list()
    done = await compromise_at(issuer).withdraw_everything()
    assert set(done.kids) == {before.current.kid, before.next.kid}
    await until_published(issuer, {done.keyring.current.kid, done.keyring.next.kid})
    assert await withdrawn_digests(issuer) == {rule_digest(RuleKind.KEY, kid) for kid in done.kids}
    assert refusal(await issuer.refresh(body["refresh_token"])) == (400, "invalid_grant")
    again = granted(await issuer.login())
    assert kid_of(again) == done.keyring.current.kid
    granted(await issuer.refresh(again["refresh_token"]))


async def test_repeating_it_changes_no_key(issuer: Issuer) -> None:
    """Whoever was interrupted repeats the command."""
    first = await compromise_at(issuer).withdraw(issuer.keys.list().current.kid)
    second = await compromise_at(issuer).withdraw(first.kids[0])
    assert second.keyring == first.keyring
    assert next(each for each in second.keyring.signing if each.kid == first.kids[0]).state is KeyState.WITHDRAWN


async def test_a_key_that_does_not_exist_is_an_error_and_changes_nothing(issuer: Issuer) -> None:
    before = issuer.keys.list()
    with pytest.raises(KeyringError, match="no key"):
        await compromise_at(issuer).withdraw("nobody")
    assert issuer.keys.list() == before
    assert await withdrawn_digests(issuer) == set()


async def test_a_server_that_does_not_notice_is_told_of_and_not_waited_for_longer(issuer: Issuer) -> None:
    """An emergency goes on: the rule refuses what that server still signs."""
    stolen = issuer.keys.list().current.kid
    await RedisPublications(issuer.stores.redis).report((stolen, "k-next"))
    done = await compromise_at(issuer).withdraw(stolen)
    assert not done.reached_servers
    assert rule_digest(RuleKind.KEY, stolen) in await withdrawn_digests(issuer)
