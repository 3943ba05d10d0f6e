"""A service that takes, or demands, tokens bound to a key (RFC 9449 section 7): by the FastAPI guard and by the middleware."""

# No `from __future__ import annotations`: FastAPI reads the annotations of the routes below.

import asyncio
import secrets
from collections.abc import Callable
from typing import Annotated, Any

import httpx2
import pytest
from fake_issuer import FakeIssuer
from fastapi import FastAPI, Security
from joserfc.jwk import ECKey
from proofs import EC, hash_of, proof, thumbprint
from test_verifier_observer import Counts

from identity.verifier import DPoP, InvalidToken, ProofsUnavailable, Refusal, VerifiedToken, Verifier
from identity.verifier.asgi import BearerMiddleware
from identity.verifier.fastapi import BearerGuard, bearer_errors
from identity.verifier.possession import ProcessReplays
from identity.verifier.profile import Confirmation

Make = Callable[..., Verifier]
URL = "https://orders.example/api"
ALGS = 'algs="ES256 PS256 RS256 EdDSA Ed25519"'
BOUND_AS_BEARER = "The token is bound to a key and is no bearer token."


def guarded(verifier: Verifier, dpop: DPoP) -> Any:
    app = FastAPI()
    bearer_errors(app)
    guard = BearerGuard(verifier, dpop=dpop)

    async def read(token: Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])]) -> str:
        return token.subject

    app.get("/{path:path}")(read)
    return app


def behind(verifier: Verifier, dpop: DPoP) -> Any:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        token = scope["state"]["token"]
        token.require("orders:read")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f'"{token.subject}"'.encode()})

    return BearerMiddleware(app, verifier, dpop=dpop)


@pytest.fixture(params=[guarded, behind])
def protect(request: pytest.FixtureRequest, verifier: Verifier) -> Callable[..., httpx2.AsyncClient]:
    """A client of a service that is protected in one way or the other; the host that requests name is not its address."""

    def make(**options: Any) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(request.param(verifier, DPoP(options.pop("base_url", URL), **options)))
        return httpx2.AsyncClient(transport=transport, base_url="http://internal:9000")

    return make


def bound(issuer: FakeIssuer, key: Any = EC, **claims: Any) -> str:
    return issuer.mint(cnf={"jkt": thumbprint(key)}, **claims)


def sent(
    token: str, *, path: str = "/orders", method: str = "GET", scheme: str = "DPoP", **wrong: Any
) -> dict[str, str]:
    return {"Authorization": f"{scheme} {token}", "dPoP": proof(method, URL + path, token, **wrong)}


async def refused(client: httpx2.AsyncClient, headers: Any, path: str = "/orders") -> tuple[int, str, str]:
    answer = await client.get(path, headers=headers)
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"], answer.headers["www-authenticate"]


async def test_v13_a_bound_token_with_a_proof_is_accepted(protect: Any, issuer: FakeIssuer) -> None:
    """The scheme and the header's name are case-insensitive (P10); the query is not part of htu; a new proof each time."""
    token = bound(issuer)
    async with protect() as client:
        for scheme in ("DPoP", "dpop", "DPOP"):
            answer = await client.get("/orders?page=1", headers=sent(token, scheme=scheme))
            assert (answer.status_code, answer.json()) == (200, "alice")
        escaped = await client.get("/orders/a%2fb%20c", headers=sent(token, path="/orders/a%2Fb%20c"))
        assert escaped.status_code == 200


async def test_v13_a_bound_token_is_no_bearer_token(protect: Any, issuer: FakeIssuer) -> None:
    """RFC 9449 section 7.2: also with a good proof beside it, and after it was accepted with one."""
    token = bound(issuer)
    challenge = f'DPoP error="invalid_token", error_description="{BOUND_AS_BEARER}", {ALGS}'
    async with protect() as client:
        assert (await client.get("/orders", headers=sent(token))).status_code == 200
        for headers in ({"Authorization": f"Bearer {token}"}, sent(token, scheme="Bearer")):
            assert await refused(client, headers) == (401, "invalid_token", challenge)


async def test_v13_a_token_bound_to_nothing_or_to_another_key_is_refused_with_a_proof(
    protect: Any, issuer: FakeIssuer
) -> None:
    """The other direction: whoever stole a token cannot send it with a key of their own."""
    challenge = (
        f'DPoP error="invalid_token", error_description="The token is bound to another key, or to none.", {ALGS}'
    )
    other = ECKey.generate_key("P-256")
    tokens = (
        issuer.mint(),
        bound(issuer, other),
        issuer.mint(cnf={"x5t#S256": thumbprint(EC)}),
        issuer.mint(cnf={"jkt": thumbprint(EC), "x5t#S256": thumbprint(EC)}),
        issuer.mint(cnf={"kid": thumbprint(EC)}),
    )
    async with protect() as client:
        for token in tokens:
            assert await refused(client, sent(token)) == (401, "invalid_token", challenge)


async def test_v13_a_proof_is_good_once(protect: Any, issuer: FakeIssuer) -> None:
    """F13: of fifty at once, one; RFC 9449 section 11.1."""
    headers = sent(bound(issuer))
    async with protect() as client:
        answers = await asyncio.gather(*(client.get("/orders", headers=headers) for _ in range(50)))
        assert sorted(each.status_code for each in answers) == [200, *[401] * 49]
        description = "The DPoP proof was used before."
        challenge = f'DPoP error="invalid_dpop_proof", error_description="{description}", {ALGS}'
        assert await refused(client, headers) == (401, "invalid_dpop_proof", challenge)


WRONG: dict[str, dict[str, Any]] = {
    "another method": {"htm": "POST"},
    "another path": {"htu": URL + "/other"},
    "the host of the request": {"htu": "http://internal:9000/orders"},
    "without the prefix": {"htu": "https://orders.example/orders"},
    "another token": {"ath": hash_of("x.y.z")},
    "no token": {"ath": None},
    "old": {"iat": 1},
    "another type": {"header": {"typ": "JWT"}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_v13_a_proof_for_something_else_is_refused(
    protect: Any, issuer: FakeIssuer, wrong: dict[str, Any]
) -> None:
    """RFC 9449 section 4.3; A60: no header says what this service is called."""
    async with protect() as client:
        status, error, challenge = await refused(client, sent(bound(issuer), **wrong))
        assert (status, error) == (401, "invalid_dpop_proof")
        assert challenge.startswith('DPoP error="invalid_dpop_proof", error_description="The ')
        assert challenge.endswith(ALGS)


async def test_v13_there_is_exactly_one_proof(protect: Any, issuer: FakeIssuer) -> None:
    """RFC 9449 section 4.3, 1."""
    token = bound(issuer)
    one, other = sent(token)["dPoP"], sent(token)["dPoP"]
    authorization = ("Authorization", f"DPoP {token}")
    async with protect() as client:
        for headers in ([authorization], [authorization, ("DPoP", one), ("dpop", other)]):
            assert (await refused(client, headers))[:2] == (401, "invalid_dpop_proof")


async def test_v14_challenges_name_the_schemes_that_are_taken(protect: Any, issuer: FakeIssuer) -> None:
    """RFC 9449 section 7.2; a bearer token that is bound to nothing is still taken where proofs are not demanded."""
    async with protect() as client:
        answer = await client.get("/orders", headers={"Authorization": f"Bearer {issuer.mint()}"})
        assert answer.status_code == 200
        assert await refused(client, {"Authorization": "Basic YTpi"}) == (401, "missing_token", await _missing(client))
        _, _, challenge = await refused(client, {"Authorization": "Bearer x"})
        assert challenge == f'Bearer error="invalid_token", error_description="The token is malformed.", DPoP {ALGS}'
        _, error, challenge = await refused(client, sent(bound(issuer, scope="orders:write")))
        assert error == "insufficient_scope"
        assert challenge.startswith('DPoP error="insufficient_scope"')
    async with protect(required=True) as client:
        for headers in ({}, {"Authorization": f"Bearer {issuer.mint()}"}):
            status, error, challenge = await refused(client, headers)
            assert (status, error) == (401, "missing_token")
            assert challenge.startswith("DPoP ")
            assert "Bearer" not in challenge
        assert (await client.get("/orders", headers=sent(bound(issuer)))).status_code == 200


async def _missing(client: httpx2.AsyncClient) -> str:
    challenge: str = (await client.get("/orders")).headers["www-authenticate"]
    assert challenge.startswith("Bearer")
    assert challenge.endswith(f", DPoP {ALGS}")
    return challenge


async def test_a_service_may_ask_for_its_own_nonce(protect: Any, issuer: FakeIssuer) -> None:
    """RFC 9449 section 9: the replica that asks, and the one that is shown it, share a secret."""
    secret, token = secrets.token_bytes(32), bound(issuer)
    async with protect(nonce_secret=secret) as client, protect(nonce_secret=secret) as replica:
        answer = await client.get("/orders", headers=sent(token))
        assert (answer.status_code, answer.json()["error"]) == (401, "use_dpop_nonce")
        assert answer.headers["www-authenticate"].startswith('DPoP error="use_dpop_nonce"')
        nonce = answer.headers["dpop-nonce"]
        assert (await replica.get("/orders", headers=sent(token, nonce=nonce))).status_code == 200
        assert (await refused(replica, sent(token, nonce=nonce + "x")))[:2] == (401, "use_dpop_nonce")


class SharedReplays:
    """What two replicas share, until it is away."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.is_away = False

    async def is_first(self, value: str, seconds: float) -> bool:
        if self.is_away:
            raise ProofsUnavailable("away", retry_after=3)
        first = value not in self.seen
        self.seen.add(value)
        return first


async def test_v13_replicas_may_share_what_was_used(protect: Any, issuer: FakeIssuer) -> None:
    """I5: when nobody can tell, nobody is let in, and nobody is told that the token is bad."""
    replays = SharedReplays()
    headers = sent(bound(issuer))
    async with protect(replays=replays) as one, protect(replays=replays) as other, protect() as alone:
        assert (await one.get("/orders", headers=headers)).status_code == 200
        assert (await refused(other, headers))[:2] == (401, "invalid_dpop_proof")
        assert (await alone.get("/orders", headers=headers)).status_code == 200
        replays.is_away = True
        answer = await one.get("/orders", headers=sent(bound(issuer)))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
        assert answer.json()["error"] == "temporarily_unavailable"


async def test_v13_a_process_remembers_for_long_enough_and_within_bounds() -> None:
    """I6: no more than so many, and none is forgotten early for the sake of another."""
    now = 0.0
    replays = ProcessReplays(2, lambda: now)
    assert [await replays.is_first(each, 10) for each in ("a", "b", "a", "b")] == [True, True, False, False]
    with pytest.raises(ProofsUnavailable):
        await replays.is_first("c", 10)
    now = 9.9
    assert not await replays.is_first("a", 10)
    now = 10.0
    assert [await replays.is_first(each, 10) for each in ("c", "a")] == [True, True]


async def test_a_refused_token_uses_up_no_proof(protect: Any, issuer: FakeIssuer) -> None:
    """Whoever has no good token cannot fill the memory."""
    replays = SharedReplays()
    async with protect(replays=replays) as client:
        await refused(client, sent(issuer.mint()))
        await refused(client, sent("x.y.z"))
        assert replays.seen == set()


async def test_v13_the_verifier_itself_takes_a_bound_token_only_with_its_confirmation(
    verifier: Verifier, issuer: FakeIssuer
) -> None:
    """Whoever calls it without a guard gets no bound token by accident; a certificate is shown in the same way (RFC 8705)."""
    key, certificate = Confirmation(jkt=thumbprint(EC)), Confirmation(x5t=thumbprint(EC))
    for confirmation in (key, certificate):
        token = issuer.mint(cnf=confirmation.claim)
        assert (await verifier.verify(token, confirmation=confirmation)).confirmation == confirmation
        assert verifier.verify_now(token, confirmation=confirmation).subject == "alice"
        for shown, why in ((None, Refusal.SENDER_CONSTRAINED), (Confirmation(jkt="x" * 43), Refusal.WRONG_SENDER)):
            with pytest.raises(InvalidToken) as error:
                await verifier.verify(token, confirmation=shown)
            assert error.value.code == why
            with pytest.raises(InvalidToken):
                verifier.verify_now(token, confirmation=shown)
    with pytest.raises(InvalidToken):
        await verifier.verify(issuer.mint(), confirmation=key)


async def test_refused_proofs_are_counted_apart(verifier_of: Make, issuer: FakeIssuer) -> None:
    """Somebody tries what they stole: whoever watches sees it."""
    counts = Counts()
    app = behind(verifier_of(observer=counts), DPoP(URL))
    good, token = sent(bound(issuer)), bound(issuer)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://internal") as client:
        for headers in (good, good, sent(token, htm="POST"), sent(token, key=ECKey.generate_key("P-256"))):
            await client.get("/orders", headers=headers)
    counted = {name: number for name, number in counts.seen.items() if name[0] in ("accepted", "refused")}
    assert counted == {
        ("accepted", False): 2,
        ("refused", "invalid_dpop_proof"): 2,
        ("refused", "wrong_sender"): 1,
    }


@pytest.mark.parametrize(
    "url", ["", "orders.example", "https://a@orders.example", "https://orders.example/?x", "ftp://x"]
)
def test_the_address_of_the_service_must_be_one(url: str) -> None:
    """A60."""
    with pytest.raises(ValueError, match="base URL"):
        DPoP(url)


def test_the_secret_of_nonces_must_be_one() -> None:
    with pytest.raises(ValueError, match="32"):
        DPoP(URL, nonce_secret=b"short")
