"""A rule outlives every token it means, at the most patient verifier there may be (V07: up to 60 s of leeway)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from issuer_in_process import ISSUER, ORDERS, Issuer, granted

from identity.administration.keys import RELOAD_BOUND_SECONDS
from identity.installed_keys import key_rules
from identity.tokens.access_token import AccessTokenGrant, AccessTokenMint
from identity.verifier.verifier import Verifier

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]

LARGEST_LEEWAY = 60
UNDER_WAY = 15
"""Seconds between a request's look at the feed and its token: a queue for passwords and two slow stores."""


def test_no_verifier_is_more_patient() -> None:
    """V07"""
    Verifier(ISSUER, ORDERS, leeway=LARGEST_LEEWAY)
    with pytest.raises(ValueError, match="leeway"):
        Verifier(ISSUER, ORDERS, leeway=LARGEST_LEEWAY + 1)


async def test_a_rule_is_told_until_no_verifier_accepts_the_token_any_more(start_issuer: StartIssuer) -> None:
    """I2: else one that starts in the last half minute never hears of it, and accepts what was revoked."""
    async with start_issuer(access_token_lifetime=900) as issuer:
        token = granted(await issuer.login())["access_token"]
        claims = await issuer.claims(token)
        assert (await issuer.revoke(token)).status_code == 200
        ((_, kind, _, expires_at),) = await issuer.rules()
    assert kind == "grant_id"
    assert expires_at >= claims["exp"] + LARGEST_LEEWAY + UNDER_WAY


async def test_a_key_stays_published_until_no_verifier_accepts_its_tokens(issuer: Issuer) -> None:
    """K01, K02"""
    assert key_rules(issuer.settings).keep_seconds >= 900 + LARGEST_LEEWAY + RELOAD_BOUND_SECONDS


async def test_a_token_that_some_verifier_still_accepts_can_be_revoked(issuer: Issuer) -> None:
    """A55: 200 means that nobody accepts it any more."""
    grant = AccessTokenGrant("alice", "demo", ORDERS, "at+jwt", ("orders:read",), 0, "a-grant")
    signer = issuer.signer
    mint = AccessTokenMint(ISSUER, 600)
    expired = mint.mint(signer, grant, int(time.time()) - 600 - LARGEST_LEEWAY + 15)
    assert (await issuer.revoke(expired)).status_code == 200
    assert [rule[1] for rule in await issuer.rules()] == ["grant_id"]
