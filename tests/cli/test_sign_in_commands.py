"""What an operator does for sign-in at a browser: the commands of docs/sign-in.md."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from identity.models import Consent
from identity.settings import load_settings
from identity.wiring.parts import Stores

Run = Callable[..., str]
PAGE = (Path(__file__).parents[2] / "docs/sign-in.md").read_text()


def test_the_client_of_the_page_is_registered_as_it_says(run: Run) -> None:
    block = re.search(r"```sh\nidentity (clients create .*?)\n```", PAGE, re.S)
    assert block is not None
    run(*shlex.split(block[1].replace("\\\n", " ")))
    (client,) = [each for each in json.loads(run("clients", "list", "--json")) if each["client_id"] == "web-shop"]
    assert client["redirect_uris"] == ["https://shop.example/signed-in"]
    assert client["grant_types"] == ["authorization_code", "refresh_token"]
    assert client["authentication_method"] == "none"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--redirect-uri", "http://shop.example/cb"), "is http, and not to this machine"),
        (("--redirect-uri", "https://shop.example/cb#x"), "has a fragment"),
        (("--redirect-uri", "https://shop.example/cb", "--post-logout-redirect-uri", "//evil"), "is neither https"),
        ((), "has redirect URIs if, and only if"),
    ],
)
def test_a03_an_address_that_codes_must_not_go_to_is_refused_in_one_sentence(
    run: Run, words: tuple[str, ...], sentence: str
) -> None:
    told = run("clients", "create", "shop", "--public", "--grant", "authorization_code", *words, fails=True)
    assert sentence in told
    assert told.count("\n") == 1


def test_a65_what_a_person_allowed_is_shown_and_taken_back(run: Run, environment: dict[str, str]) -> None:
    async def allow() -> None:
        stores = Stores.of(load_settings(environment))
        async with stores.ledger.change() as change:
            (alice,) = [each for each in await change.registrations.users() if each.username == "alice"]
            change.registrations.add(Consent(subject=alice.subject, client_id="demo-web", scopes=["openid"]))
        await stores.close()

    asyncio.run(allow())
    (shown,) = json.loads(run("users", "consents", "alice", "--json"))
    assert (shown["client_id"], shown["scopes"]) == ("demo-web", ["openid"])
    run("users", "withdraw-consent", "alice", "demo-web")
    assert json.loads(run("users", "consents", "alice", "--json")) == []
    assert "allowed that client nothing" in run("users", "withdraw-consent", "alice", "demo-web", fails=True)
