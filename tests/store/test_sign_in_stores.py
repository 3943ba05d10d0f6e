"""What a sign-in keeps in Redis: codes, login sessions, and requests that wait for a person."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

from engines import keys
from test_families import KID, families, some_family

from identity.accounts.sessions import LoginSession, new_session_id
from identity.oauth.authorization.codes import MOST_WRONG_VERIFIERS, CodeGrant, Redemption
from identity.oauth.authorization.request import AuthorizationParameters
from identity.store.redis.codes import RedisCodes
from identity.store.redis.connection import RedisConnection
from identity.store.redis.interactions import RedisInteractions
from identity.store.redis.keys import code_key
from identity.store.redis.login_sessions import RedisLoginSessions
from identity.tokens.refresh_token import Generation, Step
from identity.verifier.profile import Confirmation


def some_grant() -> CodeGrant:
    family = some_family(session_id="sid \u00e9", authentication_methods=("pwd", "otp"))
    return CodeGrant(family, "https://app.example/cb?x=%20", "c" * 43, 'n"\u00e9')


def some_session(expires_in: float = 100) -> LoginSession:
    now = int(time.time())
    return LoginSession(new_session_id(), "alice", now, ("pwd",), 17, int(now + expires_in))


def codes_of(redis: RedisConnection, lifetime: float, memory: float) -> RedisCodes:
    return RedisCodes(redis, families(redis), lifetime, memory)


async def redeem(codes: RedisCodes, code: str, kid: str | None = KID) -> Redemption:
    grant = await codes.read(code)
    return await codes.redeem(grant, kid) if grant else Redemption.UNKNOWN


async def gone(redis: RedisConnection, part: str) -> bool:
    async with asyncio.timeout(5):
        while any(part in key for key in await keys(redis)):
            await asyncio.sleep(0.02)
    return True


async def test_a_code_stands_for_what_it_was_issued_for(redis: RedisConnection) -> None:
    codes, grant = codes_of(redis, 60, 60), some_grant()
    code = await codes.issue(grant)
    assert len(code) == 26 + 1 + 43
    assert await codes.read(code) == grant
    assert await codes.read(code[:-1]) is None
    assert await codes.read("\ud800") is None


async def test_a22_a_code_and_its_session_know_the_keys_they_are_for(redis: RedisConnection) -> None:
    """A53: what is bound stays bound, at whichever server it is read."""
    codes = codes_of(redis, 60, 60)
    for confirmation in (Confirmation(jkt="j" * 43), Confirmation(x5t="x" * 43)):
        grant = replace(some_grant(), dpop_jkt="k" * 43)
        code = await codes.issue(grant)
        assert await codes.read(code) == grant
        bound = replace(grant, family=replace(grant.family, confirmation=confirmation))
        assert await codes.redeem(bound, KID) is Redemption.REDEEMED
        assert await families(redis).read(grant.family.family) == bound.family


async def test_f24_a_code_for_no_key_is_what_the_version_before_wrote(redis: RedisConnection) -> None:
    """So a server of that version can read it, and what it wrote is read here."""
    codes, grant = codes_of(redis, 60, 60), some_grant()
    code = await codes.issue(grant)
    written = json.loads(str(await redis.execute("GET", code_key(grant.family.family))).split(" ", 4)[4])
    assert set(written) == {"family", "redirect_uri", "challenge", "nonce"}
    assert "confirmation" not in written["family"]
    assert await codes.read(code) == grant


async def test_a20_redis_knows_no_code(redis: RedisConnection) -> None:
    codes = codes_of(redis, 60, 60)
    code = await codes.issue(some_grant())
    for key in await keys(redis):
        assert code not in key
        assert code not in str(await redis.execute("GET", key) if key.startswith("code:") else "")


async def test_a20_of_any_number_at_once_one_redeems_a_code(redis: RedisConnection) -> None:
    """F13."""
    codes = codes_of(redis, 60, 60)
    code = await codes.issue(some_grant())
    answers = await asyncio.gather(*(redeem(codes, code) for _ in range(50)))
    assert sorted(answers) == [Redemption.REDEEMED, *[Redemption.USED] * 49]
    assert await codes.read(code) is not None, "whoever comes later is told that it was used, and what it gave"


async def test_a20_a_redemption_whose_answer_was_lost_may_be_sent_again(redis: RedisConnection) -> None:
    """Nobody is taken for a thief because a connection broke."""
    codes = codes_of(redis, 60, 60)
    code = await codes.issue(some_grant())
    grant = await codes.read(code)
    assert grant is not None
    for _ in range(3):
        key = code_key(grant.family.family)
        assert await codes._redeem(key, grant.family, KID, "one-attempt") == Redemption.REDEEMED
    assert await redeem(codes, code) is Redemption.USED


async def test_a21_a_session_begins_with_its_code_and_not_again_after_its_end(redis: RedisConnection) -> None:
    """I2: whoever redeems the code while another one's redemption is found out brings nothing back."""
    codes, store = codes_of(redis, 60, 60), families(redis)
    lasting, passing = some_grant(), some_grant()
    code = await codes.issue(lasting)
    assert await redeem(codes, code) is Redemption.REDEEMED
    assert await store.read(lasting.family.family) == lasting.family
    assert await store.step(Generation(lasting.family.family, 0), rotates=True, kid=KID) is Step.ADVANCED
    await store.end(lasting.family.family)
    assert await redeem(codes, code) is Redemption.USED
    assert await families(redis).read(lasting.family.family) is None
    assert await redeem(codes, await codes.issue(passing), None) is Redemption.REDEEMED
    assert await families(redis).read(passing.family.family) is None


async def test_a20_a_code_expires_and_a_used_one_is_remembered_for_longer(redis: RedisConnection) -> None:
    codes = codes_of(redis, 0.3, 100)
    used, unused = await codes.issue(some_grant()), await codes.issue(some_grant())
    assert await redeem(codes, used) is Redemption.REDEEMED
    async with asyncio.timeout(5):
        while await codes.read(unused) is not None:
            await asyncio.sleep(0.02)
    assert await redeem(codes, unused) is Redemption.UNKNOWN
    assert await redeem(codes, used) is Redemption.USED


async def test_a25_a_code_is_over_after_so_many_wrong_verifiers(redis: RedisConnection) -> None:
    codes = codes_of(redis, 60, 60)
    code, other = await codes.issue(some_grant()), await codes.issue(some_grant())
    for _ in range(MOST_WRONG_VERIFIERS - 1):
        await codes.count_wrong_verifier(code)
        await codes.count_wrong_verifier(other)
    assert await redeem(codes, code) is Redemption.REDEEMED
    await codes.count_wrong_verifier(code)
    assert await redeem(codes, code) is Redemption.USED, "a used code stays used"
    await codes.count_wrong_verifier(other)
    assert await redeem(codes, other) is Redemption.UNKNOWN


async def test_single_use_ids_of_different_kinds_are_different_things(redis: RedisConnection) -> None:
    """CVE-2026-4325."""
    codes, waiting = codes_of(redis, 60, 60), RedisInteractions(redis, 60)
    sessions = RedisLoginSessions(redis, 60)
    code, kept = await codes.issue(some_grant()), await waiting.begin("b", AuthorizationParameters({}))
    secret = await sessions.begin(some_session())
    for text in (code, kept.interaction_id, secret):
        found = (await codes.read(text), await waiting.read(text), await sessions.read(text))
        assert sum(each is not None for each in found) == 1


async def test_a_waiting_request_is_kept_for_its_browser_and_taken_once(redis: RedisConnection) -> None:
    waiting = RedisInteractions(redis, 60)
    sent = AuthorizationParameters({"state": '"\u00e9 ', "scope": "openid"}, ("https://a", "https://b"))
    kept = await waiting.begin("browser", sent)
    assert await waiting.read(kept.interaction_id) == kept
    assert sorted(await asyncio.gather(*(waiting.take(kept.interaction_id) for _ in range(20)))) == [
        *[False] * 19,
        True,
    ]
    assert await waiting.read(kept.interaction_id) is None
    short = RedisInteractions(redis, 0.05)
    await short.begin("browser", sent)
    assert await gone(redis, "interaction")


async def test_u06_a_session_is_opened_by_its_secret_alone(redis: RedisConnection) -> None:
    sessions, session = RedisLoginSessions(redis, 60), some_session()
    secret = await sessions.begin(session)
    assert await sessions.read(secret) == session
    another = await sessions.begin(some_session())
    swapped = f"{session.session_id}.{another.partition('.')[2]}"
    for wrong in (
        session.session_id,
        f"{session.session_id}.",
        f"{session.session_id}.x",
        secret[:-1],
        swapped,
        secret + "\xe9",
    ):
        assert await sessions.read(wrong) is None
    own = secret.partition(".")[2]
    for key in await keys(redis):
        assert own not in key
        assert own not in str(await redis.execute("GET", key) if key.startswith("login-session:") else "")


async def test_u06_a_session_ends_when_it_is_told_to_when_it_rests_and_in_any_case(redis: RedisConnection) -> None:
    sessions, ended = RedisLoginSessions(redis, 60), some_session()
    secret = await sessions.begin(ended)
    await sessions.end(ended.session_id)
    assert await sessions.read(secret) is None
    resting = RedisLoginSessions(redis, 0.3)
    secret = await resting.begin(some_session())
    for _ in range(6):  # Whoever uses it, keeps it.
        await asyncio.sleep(0.1)
        assert await resting.read(secret) is not None
    assert await gone(redis, "login-session")
    await sessions.begin(some_session(expires_in=1))
    assert await gone(redis, "login-session")
