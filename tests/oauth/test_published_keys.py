"""Keys that clients publish at an address of theirs: fetched seldom, kept when that fails, and never from our own house."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from client_keys import KeyedClient

from identity.oauth.errors import InvalidClientMetadata
from identity.oauth.published_keys import PublishedClientKeys
from identity.oauth.registration.new_client import NewClient
from identity.oauth.registry import RegisteredClient
from identity.outbound.errors import AddressRefused, OutboundError

URI = "https://client.example/jwks.json"


@dataclass
class Web:
    """What `Outbound` finds at the address; an error is raised."""

    answers: list[Any]
    asked: list[str] = field(default_factory=list)

    async def get_json(self, url: str, most_bytes: int, seconds: float) -> object:
        self.asked.append(url)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return json.loads(json.dumps(answer))


def client_at(uri: str = URI) -> RegisteredClient:
    return RegisteredClient(
        client_id="remote",
        secret_hashes=(),
        grant_types=frozenset(),
        redirect_uris=(),
        post_logout_redirect_uris=(),
        scopes=frozenset(),
        default_resource=None,
        rotates_refresh_tokens=False,
        is_enabled=True,
        is_trusted=False,
        name="",
        jwks_uri=uri,
    )


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def kids(keys: PublishedClientKeys, kid: object = None) -> list[str | None]:
    return [key.kid for key in await keys.of(client_at(), kid)]


OLD, NEW = KeyedClient(kid="old").jwk, KeyedClient(kid="new").jwk


async def test_keys_are_fetched_once_and_again_when_they_are_old(clock: Clock) -> None:
    web = Web([{"keys": [OLD]}, {"keys": [OLD, NEW]}])
    keys = PublishedClientKeys(web, clock)  # type: ignore[arg-type]
    assert await kids(keys) == await kids(keys, "old") == ["old"]
    clock.now += 299
    assert await kids(keys) == ["old"]
    clock.now += 2
    assert await kids(keys) == ["old", "new"]
    assert web.asked == [URI, URI]


async def test_a_key_that_is_not_there_has_them_fetched_again_but_seldom(clock: Clock) -> None:
    """Whoever invents key ids makes nobody's server busy (V17's rule, for clients)."""
    web = Web([{"keys": [OLD]}, {"keys": [NEW]}])
    keys = PublishedClientKeys(web, clock)  # type: ignore[arg-type]
    for _ in range(50):
        assert await kids(keys, "new") == ["old"]
    clock.now += 11
    assert await kids(keys, "new") == ["new"]
    assert len(web.asked) == 2


@pytest.mark.parametrize(
    "failure", [OutboundError("away"), {"keys": "x"}, [], {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}], ids=str
)
async def test_keys_that_cannot_be_fetched_are_those_of_before(clock: Clock, failure: Any) -> None:
    web = Web([{"keys": [OLD]}, failure])
    keys = PublishedClientKeys(web, clock)  # type: ignore[arg-type]
    await kids(keys)
    clock.now += 301
    assert await kids(keys) == ["old"]
    assert await kids(PublishedClientKeys(Web([failure]), clock)) == []  # type: ignore[arg-type]


async def test_a15_an_address_of_our_own_house_is_not_asked(clock: Clock) -> None:
    """CVE-2026-1180: `Outbound` says where it goes; that it does not is no error of the server's."""
    assert await kids(PublishedClientKeys(Web([AddressRefused("loopback")]), clock)) == []  # type: ignore[arg-type]


def test_a15_such_an_address_is_https() -> None:
    new = NewClient(
        "remote", ["client_credentials"], authentication_method="private_key_jwt", jwks_uri="http://a.example"
    )
    with pytest.raises(InvalidClientMetadata, match="not an https URL"):
        new.completed()
