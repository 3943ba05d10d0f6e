"""API keys at a service: one exchange, then no call to the issuer; garbage asks nobody, and a revoked key is out."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from fake_issuer import AUDIENCE, FEED, METADATA, TOKEN, FakeIssuer, Reply, compact_json
from fastapi import FastAPI, Security
from starlette.requests import Request

from identity.verifier import (
    ANONYMOUS,
    ApiKeyExchange,
    ExchangeUnavailable,
    InvalidToken,
    Refusal,
    RevocationsStale,
    VerifiedToken,
    Verifier,
)
from identity.verifier import api_keys as module
from identity.verifier.asgi import BearerMiddleware
from identity.verifier.bearer import Bearer
from identity.verifier.fastapi import ApiKeyGuard, BearerGuard, bearer_errors
from identity.verifier.profile import API_KEY_GRANT, RuleKind, api_key_checksum

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]


def a_key(number: int = 1) -> str:
    rest = f"idk_{number:022}_{number:043}"
    return rest + api_key_checksum(rest)


KEY = a_key()


class Clock:
    """Monotonic time that only a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange(verifier_of: Make, issuer: FakeIssuer, clock: Clock) -> ApiKeyExchange:
    issuer.api_keys[KEY] = {}
    return ApiKeyExchange(verifier_of(credential=ANONYMOUS), monotonic=clock)


async def refusal_of(attempt: Awaitable[object]) -> str:
    with pytest.raises(InvalidToken) as caught:
        await attempt
    return caught.value.code


async def test_a_key_is_exchanged_once_and_then_the_issuer_is_left_alone(
    exchange: ApiKeyExchange, issuer: FakeIssuer
) -> None:
    assert (await exchange.verify(KEY)).subject == "alice"
    before = issuer.hits.copy()
    for _ in range(1000):
        await exchange.verify(KEY)
    assert set(issuer.hits - before) <= {FEED}
    assert issuer.exchanges == [{"grant_type": API_KEY_GRANT, "api_key": KEY, "resource": AUDIENCE}]


async def test_a_hundred_first_uses_at_once_are_one_exchange(exchange: ApiKeyExchange, issuer: FakeIssuer) -> None:
    tokens = await asyncio.gather(*(exchange.verify(KEY) for _ in range(100)))
    assert len({token.token_id for token in tokens}) == 1
    assert issuer.hits[TOKEN] == 1


async def test_a_caller_that_goes_away_leaves_the_exchange_to_the_others(
    exchange: ApiKeyExchange, issuer: FakeIssuer
) -> None:
    first, second = (asyncio.create_task(exchange.verify(KEY)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).subject == "alice"
    assert issuer.hits[TOKEN] == 1


async def test_many_keys_that_are_good_all_get_in_at_once(exchange: ApiKeyExchange, issuer: FakeIssuer) -> None:
    """A service that was just started: nobody is turned away for being new."""
    keys = [a_key(number) for number in range(100)]
    issuer.api_keys.update({key: {"sub": key[20:30]} for key in keys})
    await asyncio.gather(*(exchange.verify(key) for key in keys for _ in range(3)))
    assert issuer.hits[TOKEN] == 100


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "x",
        "idk_",
        KEY[:-1],
        KEY + "0",
        KEY[:-1] + "!",
        KEY.replace("idk", "IDK"),
        KEY[:30] + "7" + KEY[31:],
        "\xff" * 76,
        "\ud800",
        "k" * 100_000,
    ],
    ids=lambda text: repr(text[:12]),
)
async def test_what_is_no_key_never_reaches_the_issuer(
    exchange: ApiKeyExchange, issuer: FakeIssuer, garbage: str
) -> None:
    """V17"""
    assert await refusal_of(exchange.verify(garbage)) == Refusal.INVALID_API_KEY
    assert issuer.hits == {}


async def test_a_refused_key_is_asked_about_once_per_cooldown(
    exchange: ApiKeyExchange, issuer: FakeIssuer, clock: Clock
) -> None:
    unknown = a_key(2)
    for expected in (1, 2):
        for _ in range(50):
            assert await refusal_of(exchange.verify(unknown)) == Refusal.INVALID_API_KEY
        assert issuer.hits[TOKEN] == expected
        clock.now += 10.1
    issuer.api_keys[unknown] = {}
    assert (await exchange.verify(unknown)).subject == "alice"


async def test_invented_keys_cannot_flood_the_issuer_nor_push_out_a_good_one(
    verifier_of: Make, issuer: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their checksums are right: anyone can compute one."""
    monkeypatch.setattr(module, "STRANGERS_IN_A_ROW", 30)
    issuer.api_keys[KEY] = {}
    exchange = ApiKeyExchange(verifier_of(), cache_size=10, monotonic=clock)
    await exchange.verify(KEY)
    answers = await asyncio.gather(
        *(exchange.verify(a_key(number)) for number in range(2, 400)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {InvalidToken, ExchangeUnavailable}
    assert issuer.hits[TOKEN] == 1 + 30
    assert len(exchange._refused) == 10
    before = issuer.hits[TOKEN]
    await exchange.verify(KEY)
    assert issuer.hits[TOKEN] == before
    clock.now += 5
    issuer.api_keys[a_key(1000)] = {}
    await exchange.verify(a_key(1000))


async def test_no_more_than_some_strangers_are_asked_about_at_the_same_time(
    exchange: ApiKeyExchange, issuer: FakeIssuer
) -> None:
    under_way: set[int] = set()
    counts: list[int] = []

    def slow() -> Reply:
        under_way.add(threading.get_ident())
        counts.append(len(under_way))
        time.sleep(0.02)
        under_way.discard(threading.get_ident())
        return Reply(400)

    issuer.fail(TOKEN, slow)
    await asyncio.gather(*(exchange.verify(a_key(number)) for number in range(2, 60)), return_exceptions=True)
    assert issuer.hits[TOKEN] == 58
    assert max(counts) <= module.STRANGERS_AT_ONCE


async def test_a_revoked_key_is_refused_locally_and_then_by_the_issuer(
    exchange: ApiKeyExchange, issuer: FakeIssuer, eventually: Eventually, clock: Clock
) -> None:
    """The rule arrives with the feed; the issuer is asked once, and again only after the cooldown."""
    issuer.api_keys[KEY] = {"grant_id": "k1"}
    await exchange.verify(KEY)
    del issuer.api_keys[KEY]
    seq = issuer.revoke(RuleKind.GRANT, "k1")
    await eventually(lambda: exchange.verifier.status().feed_cursor == f"e1.{seq}")
    for _ in range(20):
        assert await refusal_of(exchange.verify(KEY)) == Refusal.INVALID_API_KEY
    assert issuer.hits[TOKEN] == 2
    clock.now += 10.1
    assert await refusal_of(exchange.verify(KEY)) == Refusal.INVALID_API_KEY
    assert issuer.hits[TOKEN] == 3


async def test_a_narrowed_owner_gets_a_fresh_token_at_once(
    exchange: ApiKeyExchange, issuer: FakeIssuer, eventually: Eventually
) -> None:
    """The key lives on: no request in between is refused."""
    await exchange.verify(KEY)
    issuer.api_keys[KEY] = {"scope": "orders:less"}
    seq = issuer.revoke(RuleKind.SUBJECT, "alice")
    await eventually(lambda: exchange.verifier.status().feed_cursor == f"e1.{seq}")
    tokens = await asyncio.gather(*(exchange.verify(KEY) for _ in range(50)))
    assert {tuple(token.scopes) for token in tokens} == {("orders:less",)}
    assert issuer.hits[TOKEN] == 2


async def test_a_token_born_revoked_is_replaced_once_per_cooldown(
    exchange: ApiKeyExchange, issuer: FakeIssuer, eventually: Eventually, clock: Clock
) -> None:
    """A server that is behind gave it: asking it on and on would not help."""
    issuer.api_keys[KEY] = {"rev": 0}
    seq = issuer.revoke(RuleKind.SUBJECT, "alice")
    await refusal_of(exchange.verify(KEY))
    await eventually(lambda: exchange.verifier.status().feed_cursor == f"e1.{seq}")
    for expected in (2, 3):
        for _ in range(20):
            assert await refusal_of(exchange.verify(KEY)) == Refusal.REVOKED
        assert issuer.hits[TOKEN] == expected
        clock.now += 10.1


async def test_a_stale_feed_asks_for_no_other_token(verifier_of: Make, issuer: FakeIssuer, clock: Clock) -> None:
    issuer.api_keys[KEY] = {}
    issuer.fail(FEED, Reply(503))
    exchange = ApiKeyExchange(verifier_of(credential=ANONYMOUS), monotonic=clock)
    for _ in range(3):
        with pytest.raises(RevocationsStale):
            await exchange.verify(KEY, when_stale="reject")
    await exchange.verify(KEY, when_stale="accept")
    assert issuer.hits[TOKEN] == 1


async def test_the_next_token_is_fetched_before_the_last_one_dies(
    exchange: ApiKeyExchange, issuer: FakeIssuer, clock: Clock, eventually: Eventually
) -> None:
    first = await exchange.verify(KEY)
    clock.now += 600 * 0.74
    await exchange.verify(KEY)
    assert issuer.hits[TOKEN] == 1
    clock.now += 600 * 0.12
    for _ in range(20):
        assert (await exchange.verify(KEY)).token_id == first.token_id, "nobody waits for it"
    await eventually(lambda: not exchange._flights)
    assert (await exchange.verify(KEY)).token_id != first.token_id
    assert issuer.hits[TOKEN] == 2


async def test_a_hanging_issuer_delays_nobody_while_the_token_lives(
    exchange: ApiKeyExchange, issuer: FakeIssuer, clock: Clock
) -> None:
    """V18"""
    await exchange.verify(KEY)
    issuer.fail(TOKEN, Reply(hang=True))
    clock.now += 600 * 0.86
    for _ in range(50):
        began = time.monotonic()
        await exchange.verify(KEY)
        assert time.monotonic() - began < 0.5
    assert issuer.hits[TOKEN] <= 2


async def test_an_issuer_that_refuses_the_renewal_is_believed_at_once(
    exchange: ApiKeyExchange, issuer: FakeIssuer, clock: Clock, eventually: Eventually
) -> None:
    await exchange.verify(KEY)
    del issuer.api_keys[KEY]
    clock.now += 600 * 0.86
    await exchange.verify(KEY)
    await eventually(lambda: not exchange._flights)
    assert await refusal_of(exchange.verify(KEY)) == Refusal.INVALID_API_KEY


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(503),
        Reply(429),
        Reply(404),
        Reply(307, headers=(("Location", "http://127.0.0.1:1/"),)),
        Reply(body=b"no json"),
        Reply(body=b"{}"),
        Reply(body=b'{"access_token":7,"expires_in":600}'),
        Reply(body=b'{"access_token":"t","expires_in":0}'),
        Reply(body=b'{"access_token":"t","expires_in":"600"}'),
        Reply(body=b'{"access_token":"' + b"t" * 100_000 + b'","expires_in":600}'),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:20]!r}",
)
async def test_what_is_no_answer_says_nothing_about_the_key(
    exchange: ApiKeyExchange, issuer: FakeIssuer, clock: Clock, reply: Reply
) -> None:
    """V18: nobody is told that a key is bad when nobody knows; and in between nobody waits for the issuer."""
    issuer.fail(TOKEN, reply)
    for _ in range(5):
        with pytest.raises(ExchangeUnavailable):
            await exchange.verify(KEY)
    assert issuer.hits[TOKEN] == 1
    issuer.recover(TOKEN)
    clock.now += 6
    assert (await exchange.verify(KEY)).subject == "alice"


async def test_a_token_endpoint_elsewhere_never_sees_a_key(exchange: ApiKeyExchange, issuer: FakeIssuer) -> None:
    """V19: keys go to the issuer's own origin; tokens are verified all the same."""
    with_foreign = compact_json({**issuer.metadata(), "token_endpoint": "https://elsewhere.example/token"})
    issuer.fail(METADATA, Reply(body=with_foreign))
    with pytest.raises(ExchangeUnavailable):
        await exchange.verify(KEY)
    assert (await exchange.verifier.verify(issuer.mint())).subject == "alice"


async def test_a_token_for_another_service_is_refused_here(exchange: ApiKeyExchange, issuer: FakeIssuer) -> None:
    """V06: what the issuer gives for a key is verified like what anyone brings."""
    issuer.api_keys[KEY] = {"aud": "http://elsewhere.example"}
    for _ in range(5):
        assert await refusal_of(exchange.verify(KEY)) == Refusal.WRONG_AUDIENCE
    assert issuer.hits[TOKEN] == 2


async def test_memory_is_bounded_and_holds_no_key(verifier_of: Make, issuer: FakeIssuer) -> None:
    """A64"""
    exchange = ApiKeyExchange(verifier_of(), cache_size=3)
    for number in range(10):
        issuer.api_keys[a_key(number)] = {}
        await exchange.verify(a_key(number))
    assert len(exchange._held) == 3
    shown = repr(exchange) + repr(vars(exchange))
    assert "idk_" not in shown
    assert not any(key in shown for key in issuer.api_keys)
    assert issuer.mint()[:20] not in shown


async def test_a_key_shows_in_no_log_and_no_error(
    exchange: ApiKeyExchange, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    """A64"""
    caplog.set_level(logging.DEBUG)
    await exchange.verify(KEY)
    told = []
    for key, reply in ((a_key(2), Reply(400)), (a_key(3), Reply(500)), (KEY[:-1] + "!", None)):
        if reply:
            issuer.fail(TOKEN, reply)
        with pytest.raises((InvalidToken, ExchangeUnavailable)) as caught:
            await exchange.verify(key)
        told.append(repr(caught.value) + str(caught.value) + caught.value.description + caught.value.detail)
        clock.now += 10
    assert "idk_" not in caplog.text + "".join(told)


def test_a_key_is_exchanged_anew_in_another_event_loop(issuer: FakeIssuer) -> None:
    """What was under way in the first one never ends in the second."""
    issuer.api_keys[KEY] = {}
    verifier = Verifier(issuer.url, AUDIENCE)
    exchange = ApiKeyExchange(verifier)

    async def abandoned() -> None:
        verifier.start()
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]
        await exchange.verify(KEY)

    async def again() -> str:
        async with verifier:
            return (await exchange.verify(KEY)).subject

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(abandoned())
    assert asyncio.run(again()) == "alice"


async def test_closing_the_verifier_ends_what_is_under_way(exchange: ApiKeyExchange, issuer: FakeIssuer) -> None:
    issuer.fail(TOKEN, Reply(hang=True))
    waiting = asyncio.create_task(exchange.verify(KEY))
    await asyncio.sleep(0.05)
    await exchange.verifier.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert exchange._flights == {}


# --- Over HTTP --------------------------------------------------------------------------------------------------------


def guarded(verifier: Verifier, **options: Any) -> FastAPI:
    app, api_keys = FastAPI(), options.pop("api_keys", None)
    guard = ApiKeyGuard(api_keys, **options) if api_keys else BearerGuard(verifier, **options)
    bearer_errors(app)

    async def whoever(request: Request, token: VerifiedToken = Security(guard, scopes=["orders:read"])) -> str:  # noqa: B008
        return token.subject

    app.get("/")(whoever)
    return app


def in_front(verifier: Verifier, **options: Any) -> BearerMiddleware:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'"%s"' % scope["state"]["token"].subject.encode()})

    return BearerMiddleware(app, verifier, scopes=["orders:read"], **options)


@pytest.fixture(params=[guarded, in_front], ids=["guard", "middleware"])
def protect(request: pytest.FixtureRequest) -> Callable[..., httpx2.AsyncClient]:
    """The two ways to protect a service, which answer the same."""

    def client(verifier: Verifier, **options: Any) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(request.param(verifier, **options))
        return httpx2.AsyncClient(transport=transport, base_url="http://orders.example")

    return client


Protect = Callable[..., httpx2.AsyncClient]


async def test_a_request_with_a_key_is_answered_as_one_with_a_token(
    exchange: ApiKeyExchange, issuer: FakeIssuer, protect: Protect
) -> None:
    """V14"""
    issuer.api_keys[a_key(2)] = {"scope": "orders:write"}
    async with protect(exchange.verifier, api_keys=exchange) as client:
        for name in ("X-API-Key", "x-api-key"):
            answer = await client.get("/", headers={name: KEY})
            assert (answer.status_code, answer.json()) == (200, "alice")
        answer = await client.get("/", headers={"Authorization": f"Bearer {issuer.mint()}"})
        assert answer.status_code == 200
        answer = await client.get("/", headers={"X-API-Key": a_key(2)})
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
        answer = await client.get("/", headers={"X-API-Key": a_key(3)})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith(
            'Bearer error="invalid_token", error_description="The API key'
        )
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer scope="orders:read"')


async def test_a_key_and_a_token_together_are_a_bad_request(
    exchange: ApiKeyExchange, issuer: FakeIssuer, protect: Protect
) -> None:
    """V15"""
    token = issuer.mint()
    async with protect(exchange.verifier, api_keys=exchange) as client:
        for headers in (
            [("X-API-Key", KEY), ("Authorization", f"Bearer {token}")],
            [("X-API-Key", KEY), ("Authorization", "Basic YTpi")],
            [("X-API-Key", KEY), ("X-API-Key", KEY)],
            [("X-API-Key", "")],
        ):
            answer = await client.get("/", headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        answer = await client.get("/", headers={"X-API-Key": KEY}, params={"access_token": token})
        assert answer.status_code == 400
        assert issuer.hits[TOKEN] == 0


async def test_nobody_looks_at_a_key_where_keys_are_not_asked_for(
    verifier: Verifier, issuer: FakeIssuer, protect: Protect
) -> None:
    issuer.api_keys[KEY] = {}
    async with protect(verifier) as client:
        assert (await client.get("/", headers={"X-API-Key": KEY})).status_code == 401
        both = {"X-API-Key": KEY, "Authorization": f"Bearer {issuer.mint()}"}
        assert (await client.get("/", headers=both)).status_code == 200
    assert issuer.hits[TOKEN] == 0


async def test_an_exchange_that_cannot_be_made_is_503(
    exchange: ApiKeyExchange, issuer: FakeIssuer, protect: Protect
) -> None:
    """V18"""
    issuer.fail(TOKEN, Reply(500))
    async with protect(exchange.verifier, api_keys=exchange) as client:
        answer = await client.get("/", headers={"X-API-Key": KEY})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error"] == "temporarily_unavailable"
    assert "WWW-Authenticate" not in answer.headers


async def test_swagger_offers_a_token_or_a_key(exchange: ApiKeyExchange) -> None:
    document = guarded(exchange.verifier, api_keys=exchange).openapi()  # type: ignore[attr-defined]
    schemes = document["components"]["securitySchemes"]
    assert schemes["ApiKey"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    either = document["paths"]["/"]["get"]["security"]
    assert sorted(name for asked in either for name in asked) == ["ApiKey", "OAuth2"]
    assert all(len(asked) == 1 for asked in either)


async def test_keys_and_tokens_of_one_service_are_judged_by_one_verifier(verifier_of: Make) -> None:
    with pytest.raises(ValueError, match="another verifier"):
        Bearer(verifier_of(), api_keys=ApiKeyExchange(verifier_of()))


@pytest.mark.parametrize("settings", [{"cooldown": 0}, {"cache_size": 0}])
async def test_settings_that_protect_nothing_are_refused(verifier: Verifier, settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        ApiKeyExchange(verifier, **settings)  # type: ignore[arg-type]
