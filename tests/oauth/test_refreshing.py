"""Refreshing over HTTP: one successor for each generation, whatever is retried, raced, replayed or lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import jwt
import pytest
from issuer_in_process import ISSUER, ORDERS, Issuer, granted, refusal
from sqlmodel import update

from identity.keyring.signers import base64url
from identity.models import RevocationRule
from identity.oauth.registration.new_client import NewClient
from identity.verifier.profile import RuleKind, rule_digest

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
OVER = (400, "invalid_grant")


def generation(token: str) -> int:
    return int(token.split(".")[1])


async def begin(issuer: Issuer, name: str = "bob", **fields: str) -> str:
    token: str = granted(await issuer.login(name, **fields))["refresh_token"]
    return token


async def advance(issuer: Issuer, token: str, **fields: str) -> str:
    successor: str = granted(await issuer.refresh(token, **fields))["refresh_token"]
    return successor


async def ended_grants(issuer: Issuer) -> set[str]:
    return {rule[2] for rule in await issuer.rules() if rule[1] == "grant_id"}


def digest_of(token: str) -> str:
    return base64url(rule_digest(RuleKind.GRANT, token.split(".")[0]))


async def test_each_refresh_gives_a_new_token_and_the_session_stays_the_same(issuer: Issuer) -> None:
    """A45, P08: grant, subject, audience and auth_time are inherited; iat and jti are new."""
    body = granted(await issuer.login("bob", scope="orders:read roles"))
    login, tokens = await issuer.claims(body["access_token"]), [body["refresh_token"]]
    for number in range(1, 4):
        body = granted(await issuer.refresh(tokens[-1]))
        assert body["scope"] == "orders:read roles"
        assert generation(body["refresh_token"]) == number
        claims = await issuer.claims(body["access_token"])
        same = ("iss", "sub", "aud", "client_id", "scope", "grant_id", "auth_time", "amr", "roles")
        assert {name: claims[name] for name in same} == {name: login[name] for name in same}
        assert claims["jti"] != login["jti"]
        tokens.append(body["refresh_token"])
    assert len(set(tokens)) == 4


async def test_a_retry_within_the_window_gets_the_same_successor(issuer: Issuer) -> None:
    """A46, django-oauth-toolkit #702: a lost answer logs nobody out, and never makes a second branch."""
    first = await begin(issuer)
    second = await advance(issuer, first)
    assert await advance(issuer, first) == second
    assert await advance(issuer, first) == second
    await advance(issuer, second)


async def test_fifty_concurrent_refreshes_of_one_token_all_get_the_same_successor(issuer: Issuer) -> None:
    """CVE-2026-1035, A46, I1."""
    first = await begin(issuer)
    answers = await asyncio.gather(*(issuer.refresh(first) for _ in range(50)))
    assert len({granted(answer)["refresh_token"] for answer in answers}) == 1
    await advance(issuer, granted(answers[0])["refresh_token"])


async def test_without_a_window_one_of_fifty_concurrent_refreshes_succeeds(start_issuer: StartIssuer) -> None:
    """CVE-2026-1035: and the family is over, for somebody used a token twice."""
    async with start_issuer(refresh_retry_window=0) as issuer:
        first = await begin(issuer)
        answers = await asyncio.gather(*(issuer.refresh(first) for _ in range(50)))
        good = [answer for answer in answers if answer.status_code == 200]
        assert len(good) == 1
        assert {refusal(answer) for answer in answers if answer not in good} == {OVER}
        assert refusal(await issuer.refresh(granted(good[0])["refresh_token"])) == OVER
        assert await ended_grants(issuer) == {digest_of(first)}


@pytest.mark.parametrize("window", [0, 0.1])
@pytest.mark.parametrize("replayed", [0, 1])
async def test_a_replayed_token_ends_its_family_and_revokes_its_access_tokens(
    start_issuer: StartIssuer, window: float, replayed: int
) -> None:
    """A45, CVE-2026-9802, keycloak#50999: R0, R1, R2 within one second, then R0 or R1 once more."""
    async with start_issuer(refresh_retry_window=window) as issuer:
        body = granted(await issuer.login("bob"))
        tokens = [body["refresh_token"]]
        for _ in range(2):
            body = granted(await issuer.refresh(tokens[-1]))
            tokens.append(body["refresh_token"])
        await asyncio.sleep(window * 1.5)
        assert refusal(await issuer.refresh(tokens[replayed])) == OVER
        for token in tokens:
            assert refusal(await issuer.refresh(token)) == OVER
        (rule,) = await issuer.rules()
        assert rule[1:3] == ["grant_id", digest_of(tokens[0])]
        assert (await issuer.claims(body["access_token"]))["rev"] < rule[0], "the rule must match the last access token"


async def test_a_replay_is_known_by_another_server_too(start_issuer: StartIssuer) -> None:
    """CVE-2026-9802: R0 to R1, restart, R0 again."""
    async with start_issuer(refresh_retry_window=0) as before:
        first = await begin(before)
        second = await advance(before, first)
    async with start_issuer(refresh_retry_window=0) as after:
        assert refusal(await after.refresh(first)) == OVER
        assert refusal(await after.refresh(second)) == OVER
        assert await ended_grants(after) == {digest_of(first)}


async def test_a_late_duplicate_is_refused_and_ends_nothing(issuer: Issuer) -> None:
    """A46: two generations behind, but still within its own window: a straggler, not a thief."""
    first = await begin(issuer)
    second = await advance(issuer, first)
    third = await advance(issuer, second)
    assert refusal(await issuer.refresh(first)) == OVER
    assert await issuer.rules() == []
    await advance(issuer, third)


async def test_another_client_s_token_is_refused_and_not_used_up(issuer: Issuer) -> None:
    """A44, CVE-2026-16089."""
    await issuer.clients.create(NewClient("other", ["refresh_token"], ["orders:read"], authentication_method="none"))
    first = await begin(issuer)
    assert refusal(await issuer.refresh(first, client_id="other")) == OVER
    assert generation(await advance(issuer, first)) == 1


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "AAAA" + "A" * 22 + ".0." + "A" * 22, "\u00e9" * 30, "eyJhbGciOiJub25lIn0.e30.", "9" * 5000],
    ids=lambda token: token[:12] or "empty",
)
async def test_an_invented_token_is_refused(issuer: Issuer, token: str) -> None:
    """A44."""
    assert refusal(await issuer.refresh(token or ".")) == OVER


async def test_a_changed_token_is_refused_and_harms_nobody(issuer: Issuer) -> None:
    """A45: the family stands in access tokens, so knowing it must not be enough to end it."""
    first = await begin(issuer)
    family, _, mac = first.split(".")
    last = "B" if mac[-2] != "B" else "C"
    for forged in (
        f"{family}.1.{mac}",
        f"{family}.00.{mac}",
        f"{family}.0.{mac[:-2]}{last}{mac[-1]}",
        first + ".",
        first[:-1],
    ):
        assert refusal(await issuer.refresh(forged)) == OVER
    assert await issuer.rules() == []
    await advance(issuer, first)


async def test_scope_may_shrink_for_one_token_but_never_grow(issuer: Issuer) -> None:
    """A44: the session keeps what was granted; a refusal uses nothing up."""
    first = await begin(issuer, scope="orders:read orders:write")
    body = granted(await issuer.refresh(first, scope="orders:read"))
    assert body["scope"] == "orders:read"
    assert (await issuer.claims(body["access_token"]))["scope"] == "orders:read"
    second = body["refresh_token"]
    for scope in ("orders:read roles", "orders:delete", "openid"):
        assert refusal(await issuer.refresh(second, scope=scope)) == (400, "invalid_scope")
    body = granted(await issuer.refresh(second))
    assert body["scope"] == "orders:read orders:write"
    assert generation(body["refresh_token"]) == 2


async def test_a_refresh_stays_with_its_resource(issuer: Issuer) -> None:
    """A44, A51."""
    await issuer.resources.create("bills", "https://bills.example", ["bills:read"])
    await issuer.settled()
    first = await begin(issuer)
    for resource in ("https://bills.example", "https://unknown.example", [ORDERS, ORDERS]):
        assert refusal(await issuer.token("refresh_token", refresh_token=first, resource=resource)) == (
            400,
            "invalid_target",
        )
    assert generation(await advance(issuer, first, resource=ORDERS)) == 1


async def test_a_disabled_person_cannot_refresh_even_when_enabled_again(issuer: Issuer) -> None:
    """A48, CVE-2023-22492."""
    first = await begin(issuer)
    await issuer.people.disable("bob")
    await issuer.settled()
    assert refusal(await issuer.refresh(first)) == OVER
    await issuer.people.enable("bob")
    await issuer.settled()
    assert refusal(await issuer.refresh(first)) == OVER
    await advance(issuer, await begin(issuer))


async def test_a_disabled_client_cannot_refresh_even_when_enabled_again(issuer: Issuer) -> None:
    """A48."""
    first = await begin(issuer)
    await issuer.clients.disable("demo")
    await issuer.settled()
    assert refusal(await issuer.refresh(first)) == (401, "invalid_client")
    await issuer.clients.enable("demo")
    await issuer.settled()
    assert refusal(await issuer.refresh(first)) == OVER


@pytest.mark.parametrize("end", ["disable", "set_password", "end_sessions"])
async def test_the_sessions_of_a_person_are_over_once_that_was_acknowledged(issuer: Issuer, end: str) -> None:
    """F12, I2: also at a server that did not read the rule yet; only the rule says so, the families stay where they are."""
    password = "another password"
    await issuer.people.set_password("bob", password)
    for _ in range(10):
        await issuer.settled()
        first = granted(await issuer.login("bob", password))["refresh_token"]
        await getattr(issuer.people, end)("bob", *([password] if end == "set_password" else []))
        assert refusal(await issuer.refresh(first)) == OVER
        await issuer.people.enable("bob")


async def test_a_changed_password_ends_the_sessions_that_began_with_the_old_one(issuer: Issuer) -> None:
    """A48, U03."""
    first = await begin(issuer)
    await issuer.people.set_password("bob", "a new password")
    await issuer.settled()
    assert refusal(await issuer.refresh(first)) == OVER
    assert refusal(await issuer.login("bob")) == OVER
    granted(await issuer.login("bob", "a new password"))


async def test_a_taken_role_shrinks_the_next_refresh_and_ends_no_session(issuer: Issuer) -> None:
    """A41, A48: access tokens issued so far are refused, and the fresh one is newer than the rule."""
    body = granted(await issuer.login("bob", scope="orders:read orders:write roles"))
    await issuer.people.give_role("bob", "reader")
    await issuer.people.take_role("bob", "editor")
    rules = await issuer.rules()
    assert [rule[1] for rule in rules] == ["sub"]
    fresh = granted(await issuer.refresh(body["refresh_token"]))
    assert fresh["scope"] == "orders:read roles"
    claims = await issuer.claims(fresh["access_token"])
    assert claims["roles"] == ["reader"]
    assert (await issuer.claims(body["access_token"]))["rev"] < rules[0][0] <= claims["rev"]


async def test_a_narrowed_role_shrinks_the_next_refresh_and_a_widened_one_never_grows_it(issuer: Issuer) -> None:
    """A41."""
    first = await begin(issuer, scope="orders:read orders:write")
    await issuer.roles.set_scopes("editor", ["orders:read"])
    await issuer.settled()
    body = granted(await issuer.refresh(first))
    assert body["scope"] == "orders:read"
    only_read = await begin(issuer, scope="orders:read")
    await issuer.roles.set_scopes("editor", ["orders:read", "orders:write"])
    await issuer.settled()
    assert granted(await issuer.refresh(body["refresh_token"]))["scope"] == "orders:read orders:write"
    assert granted(await issuer.refresh(only_read))["scope"] == "orders:read"


async def test_a_client_that_does_not_rotate_keeps_its_token(issuer: Issuer) -> None:
    """Settled question 2: sender-constrained or confidential clients need not rotate."""
    new = NewClient("web", ["password", "refresh_token"], ["orders:read"], rotates_refresh_tokens=False)
    _, secret = await issuer.clients.create(new)
    assert secret is not None
    web = ("web", secret)
    login = await issuer.token("password", web, username="bob", password="builder", scope="orders:read")
    token = granted(login)["refresh_token"]
    for _ in range(3):
        assert granted(await issuer.token("refresh_token", web, refresh_token=token))["refresh_token"] == token


async def test_a_session_at_rest_ends_after_its_idle_lifetime(start_issuer: StartIssuer) -> None:
    """A47."""
    async with start_issuer(refresh_idle_lifetime=1) as issuer:
        used, rested = await begin(issuer), await begin(issuer)
        for _ in range(3):
            await asyncio.sleep(0.4)
            used = await advance(issuer, used)
        assert refusal(await issuer.refresh(rested)) == OVER
        await advance(issuer, used)


async def test_a_session_in_use_ends_after_its_absolute_lifetime(start_issuer: StartIssuer) -> None:
    """A47: however often it is refreshed."""
    async with start_issuer(refresh_idle_lifetime=2, refresh_absolute_lifetime=2) as issuer:
        token, began, refreshed = await begin(issuer), time.monotonic(), 0
        while (answer := await issuer.refresh(token)).status_code == 200:
            token, refreshed = granted(answer)["refresh_token"], refreshed + 1
            assert time.monotonic() - began < 3
            await asyncio.sleep(0.05)
        assert refusal(answer) == OVER
        assert refreshed > 3


async def lose_writes(issuer: Issuer, token: str, steps: int) -> str:
    """Advances `steps` times, then puts the store back to where it stood before: what a failover can do."""
    key = f"f:{{{token.split('.')[0]}}}"
    record = await issuer.stores.redis.execute("GET", key)
    for _ in range(steps):
        token = await advance(issuer, token)
    await issuer.stores.redis.execute("SET", key, record, "KEEPTTL")
    return token


@pytest.mark.parametrize("steps", [1, 3])
async def test_a_token_ahead_of_a_store_that_lost_writes_goes_on(issuer: Issuer, steps: int) -> None:
    """I4, DESIGN 7: it was really issued; nobody is logged out by a failover, and old generations stay old."""
    first = await begin(issuer)
    ahead = await lose_writes(issuer, first, steps)
    following = await advance(issuer, ahead)
    assert generation(following) == steps + 1
    assert await advance(issuer, ahead) == following
    await advance(issuer, following)


async def test_a_token_ahead_of_the_store_does_not_revive_what_was_ended(start_issuer: StartIssuer) -> None:
    """I2: the journal knows, long after the rule that refused the access tokens has left the picture."""
    async with start_issuer() as before:
        first = await begin(before)
        key = f"f:{{{first.split('.')[0]}}}"
        record = await before.stores.redis.execute("GET", key)
        ahead = await advance(before, first)
        assert (await before.revoke(ahead)).status_code == 200
        async with before.stores.database.transaction() as session:
            await session.execute(update(RevocationRule).values(expires_at=1))
        await before.stores.redis.execute("SET", key, record)
    async with start_issuer() as after:
        assert await after.rules() == []
        assert refusal(await after.refresh(ahead)) == OVER
        assert await after.stores.redis.execute("GET", key) is None


async def test_a_revival_by_an_old_copy_of_redis_is_refused(issuer: Issuer) -> None:
    """F02, I2: a family that comes back with a stale dump stays ended."""
    first = await begin(issuer)
    key = f"f:{{{first.split('.')[0]}}}"
    record = await issuer.stores.redis.execute("GET", key)
    assert (await issuer.revoke(first)).status_code == 200
    await issuer.stores.redis.execute("SET", key, record)
    await issuer.settled()
    assert refusal(await issuer.refresh(first)) == OVER


async def test_a_lost_family_means_a_new_login(issuer: Issuer) -> None:
    """The loss contract of DESIGN 1."""
    first = await begin(issuer)
    await issuer.stores.redis.execute("DEL", f"f:{{{first.split('.')[0]}}}")
    assert refusal(await issuer.refresh(first)) == OVER


async def test_an_unfinished_replay_is_finished_by_whoever_meets_it(issuer: Issuer) -> None:
    """A45: the server that marked the family died before it could write the rule."""
    first = await begin(issuer)
    key = f"f:{{{first.split('.')[0]}}}"
    record = await issuer.stores.redis.execute("GET", key)
    await issuer.stores.redis.execute("SET", key, record.replace(" A ", " R ", 1), "KEEPTTL")
    assert refusal(await issuer.refresh(first)) == OVER
    assert await ended_grants(issuer) == {digest_of(first)}


async def test_no_refresh_survives_a_revocation_it_races_with(start_issuer: StartIssuer) -> None:
    """keycloak#51312, F12, I2: after the 200 of /revoke nothing that came of the race is alive anywhere."""
    async with start_issuer(login_attempts=1000, login_attempts_per_address=1000) as issuer:

        async def chase(token: str) -> list[dict[str, str]]:
            bodies = []
            while (answer := await issuer.refresh(token)).status_code == 200:
                bodies.append(granted(answer))
                token = bodies[-1]["refresh_token"]
            assert refusal(answer) == OVER
            return bodies

        async def end(token: str, turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            assert (await issuer.revoke(token)).status_code == 200

        for interleaving in range(100):
            first = await begin(issuer)
            chased, *_ = await asyncio.gather(chase(first), end(first, 3 * interleaving % 101))
            for body in chased[-2:]:
                assert refusal(await issuer.refresh(body["refresh_token"])) == OVER
            seq = (await issuer.stores.journal.head()).seq
            for body in chased:
                claims = jwt.decode(body["access_token"], options={"verify_signature": False})
                assert claims["rev"] < seq, "an access token of the race escapes the rule"


async def test_after_a_key_rotation_a_refresh_is_signed_by_the_new_key(issuer: Issuer) -> None:
    """K02, hydra PR#3942: the header's kid is always the key that signed."""
    body = granted(await issuer.login())
    before = jwt.get_unverified_header(body["access_token"])["kid"]
    rotated = await issuer.keys.rotate(force=True)
    async with asyncio.timeout(5):
        while True:
            body = granted(await issuer.refresh(body["refresh_token"]))
            if (kid := jwt.get_unverified_header(body["access_token"])["kid"]) != before:
                break
            await asyncio.sleep(0.05)
    assert kid == rotated.current.kid
    assert (await issuer.claims(body["access_token"]))["iss"] == ISSUER
    served = (await issuer.http.get("/.well-known/jwks.json")).json()["keys"]
    assert {key["kid"] for key in served} == {before, kid, rotated.next.kid}
