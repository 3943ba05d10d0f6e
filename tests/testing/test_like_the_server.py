"""What a service is tested against looks like what it will meet: tokens, keys and feed of the real server, side by side."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import jwt
import pytest
from issuer_in_process import ORDERS, Issuer

from identity.testing import LocalIssuer


@pytest.fixture
def local() -> Iterator[LocalIssuer]:
    with LocalIssuer(ORDERS) as local:
        yield local


def kinds(members: dict[str, object]) -> dict[str, type]:
    return {name: type(value) for name, value in members.items()}


async def test_tokens_have_the_same_header_and_claims(issuer: Issuer, local: LocalIssuer):
    real = (await issuer.login(scope="orders:read")).json()["access_token"]
    minted = local.token("alice", ["orders:read"])
    assert kinds(jwt.get_unverified_header(minted)) == kinds(jwt.get_unverified_header(real))
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in (minted, real)]
    # The real one tells more about the login; nothing a verifier needs is missing here.
    assert kinds(claims[0]).items() <= kinds(claims[1]).items()
    assert set(claims[1]) - set(claims[0]) <= {"auth_time", "amr", "acr", "sid"}
    assert claims[0]["exp"] - claims[0]["iat"] == claims[1]["exp"] - claims[1]["iat"]


async def test_documents_have_the_same_members(issuer: Issuer, local: LocalIssuer):
    for path in ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"):
        real, ours = (await issuer.http.get(path)).json(), httpx2.get(local.url + path).json()
        assert kinds(ours).items() <= kinds(real).items()
    real, ours = await issuer.http.get("/.well-known/jwks.json"), httpx2.get(local.url + "/.well-known/jwks.json")
    assert [kinds(key) for key in ours.json()["keys"]] == [kinds(key) for key in real.json()["keys"]]
    assert ours.headers["cache-control"].startswith("public, max-age=")
    assert real.headers["cache-control"].startswith("public, max-age=")


async def test_the_feed_answers_the_same(issuer: Issuer, local: LocalIssuer):
    """A snapshot with one rule, then nothing new, then a cursor of another history."""
    await issuer.revoke((await issuer.login()).json()["refresh_token"])
    await issuer.settled()
    local.revoke(grant_id="g1")
    real = (await issuer.feed()).json()
    ours = httpx2.get(local.url + "/revocations").json()
    assert kinds(ours) == kinds(real)
    assert [*map(type, ours["rules"][0])] == [*map(type, real["rules"][-1])]
    for told, ask in ((real, issuer.feed), (ours, None)):
        for cursor, is_snapshot in ((f"{told['epoch']}.{told['seq']}", False), ("elsewhere.1", True)):
            params = {"cursor": cursor, "wait": "0"}
            answer = await ask(**params) if ask else httpx2.get(local.url + "/revocations", params=params)
            assert answer.json()["snapshot"] is is_snapshot


MALFORMED = [{"cursor": cursor} for cursor in ("x", "x.", "x.-1", "x.1e3", "x.\u0661", "x." + "9" * 19)]
MALFORMED += [{"wait": wait} for wait in ("soon", "-1", "", ".", "1.2.3", "nan", "\u00b2")]


@pytest.mark.parametrize("params", MALFORMED, ids=ascii)
async def test_malformed_polls_are_refused_the_same(issuer: Issuer, local: LocalIssuer, params: dict[str, str]):
    real, ours = await issuer.feed(**params), httpx2.get(local.url + "/revocations", params=params)
    assert (
        (ours.status_code, ours.json()["error"]) == (real.status_code, real.json()["error"]) == (400, "invalid_request")
    )


@pytest.mark.parametrize(
    "params", [{"wait": "26"}, {"wait": "0.5"}, {"cursor": ""}, {"instance": "x", "kids": ""}], ids=ascii
)
async def test_other_polls_are_answered_the_same(issuer: Issuer, local: LocalIssuer, params: dict[str, str]):
    """A wait that is too long is cut, an empty cursor is none, and what is unknown is ignored."""
    real, ours = await issuer.feed(**params), httpx2.get(local.url + "/revocations", params=params)
    assert (real.status_code, ours.status_code) == (200, 200)
    assert (real.json()["snapshot"], ours.json()["snapshot"]) == (True, True)
