"""API keys over HTTP: exchanged for a short token that may no more than its owner may now, and over when the key is."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from issuer_in_process import ORDERS, SERVICE, Issuer, granted, refusal
from sqlmodel import select, update

from identity.administration.api_keys import NewApiKey
from identity.models import ApiKey, AuditEvent
from identity.oauth.registration.new_client import NewClient
from identity.oauth.requests import ClientCredentials, TokenRequest
from identity.tokens.api_key import KeyCredential, new_key, read_key, write_key
from identity.verifier.profile import API_KEY_CLIENT, API_KEY_GRANT, RuleKind, rule_digest

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
REFUSED = (400, "invalid_grant")
BOTH = ("orders:read", "orders:write")


async def key_of_bob(issuer: Issuer, scopes: tuple[str, ...] = BOTH, **more: Any) -> str:
    return (await issuer.api_keys.create(NewApiKey("nightly", user="bob", scopes=scopes, **more)))[1]


async def key_of_service(issuer: Issuer, scopes: tuple[str, ...] = BOTH, **more: Any) -> str:
    return (await issuer.api_keys.create(NewApiKey("import", client_id="demo-service", scopes=scopes, **more)))[1]


def id_of(text: str) -> str:
    key = read_key(text)
    assert key is not None
    return key.key_id


async def refused(issuer: Issuer, text: str) -> str:
    """Asserts that the key is refused; returns what is said."""
    answer = await issuer.exchange(text)
    assert refusal(answer) == REFUSED
    said: str = answer.json()["error_description"]
    return said


async def expire(issuer: Issuer, text: str, at: datetime) -> None:
    async with issuer.stores.database.transaction() as session:
        await session.execute(update(ApiKey).where(ApiKey.key_id == id_of(text)).values(expires_at=at))  # type: ignore[arg-type]


async def test_a_person_s_key_gets_a_token_for_that_person(issuer: Issuer) -> None:
    """RFC 9068 section 2.2: it has a client_id, that of no registered client."""
    text = await key_of_bob(issuer, ("orders:read", "roles"))
    body = granted(await issuer.exchange(text))
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}, (
        "the key is the credential: nothing to refresh"
    )
    assert (body["scope"], body["expires_in"]) == ("orders:read roles", 600)
    claims = await issuer.claims(body["access_token"])
    (bob,) = [person for person in await issuer.people.list() if person.username == "bob"]
    assert (claims["sub"], claims["aud"], claims["grant_id"]) == (bob.subject, ORDERS, id_of(text))
    assert (claims["client_id"], claims["roles"]) == (API_KEY_CLIENT, ["editor"])
    assert not {"auth_time", "amr"} & set(claims), "nobody logged in"


async def test_a_client_s_key_gets_a_token_for_that_client(issuer: Issuer) -> None:
    """A42: a subject that no person can have."""
    text = await key_of_service(issuer)
    claims = await issuer.claims(granted(await issuer.exchange(text))["access_token"])
    assert (claims["sub"], claims["client_id"]) == ("client:demo-service", "demo-service")
    assert (claims["scope"], claims["grant_id"]) == ("orders:read orders:write", id_of(text))


async def test_less_may_be_asked_for_and_never_more(issuer: Issuer) -> None:
    """A41"""
    text = await key_of_bob(issuer, ("orders:read",))
    assert granted(await issuer.exchange(text, scope="orders:read orders:write"))["scope"] == "orders:read"
    assert refusal(await issuer.exchange(text, scope="orders:write")) == (400, "invalid_scope")
    assert refusal(await issuer.exchange(text, scope="no:such")) == (400, "invalid_scope")
    assert granted(await issuer.exchange(text, resource=ORDERS))["scope"] == "orders:read"
    await issuer.resources.create("bills", "https://bills.example", ["bills:read"])
    await issuer.settled()
    assert refusal(await issuer.exchange(text, resource="https://bills.example")) == (400, "invalid_target")
    assert refusal(await issuer.exchange(text, scope="bills:read")) == (400, "invalid_scope")


async def test_a_key_may_what_its_person_may_now(issuer: Issuer) -> None:
    """A48: a role taken is taken from the keys, and they live on with what is left."""
    text = await key_of_bob(issuer)
    granted(await issuer.exchange(text))
    await issuer.people.give_role("bob", "reader")
    await issuer.people.take_role("bob", "editor")
    await issuer.settled()
    assert granted(await issuer.exchange(text))["scope"] == "orders:read"
    assert refusal(await issuer.exchange(text, scope="orders:write")) == (400, "invalid_scope")


async def test_a_revoked_key_is_refused_at_once_and_its_tokens_by_a_rule(issuer: Issuer) -> None:
    """A48, A55"""
    text = await key_of_bob(issuer)
    granted(await issuer.exchange(text))
    await issuer.api_keys.revoke(id_of(text))
    await issuer.settled()
    await refused(issuer, text)
    async with issuer.stores.database.read() as session:
        (row,) = (await session.scalars(select(ApiKey))).all()
    assert row.revoked_at is not None
    rules = [rule async for _, some in issuer.stores.journal.live() for rule in some]
    assert rules[-1].digest == rule_digest(RuleKind.GRANT, id_of(text))
    assert rules[-1].ends


@pytest.mark.parametrize("act", ["disable", "end_sessions"])
async def test_what_ends_a_person_ends_their_keys_for_good(issuer: Issuer, act: str) -> None:
    """A48: the row is marked, for the rule is forgotten one day and the key would come back."""
    text = await key_of_bob(issuer)
    granted(await issuer.exchange(text))
    await getattr(issuer.people, act)("bob")
    await issuer.settled()
    await refused(issuer, text)
    if act == "disable":
        await issuer.people.enable("bob")
        await issuer.settled()
    await refused(issuer, text)
    assert (await issuer.api_keys.list())[0].revoked_at is not None
    granted(await issuer.exchange(await key_of_bob(issuer)))


async def test_a_new_password_ends_the_keys_of_its_person(issuer: Issuer) -> None:
    """A48"""
    text = await key_of_bob(issuer)
    await issuer.people.set_password("bob", "another password")
    await issuer.settled()
    await refused(issuer, text)


async def test_what_ends_a_client_ends_its_keys_for_good(issuer: Issuer) -> None:
    """A48"""
    text, other = await key_of_service(issuer), await key_of_bob(issuer)
    granted(await issuer.exchange(text))
    await issuer.clients.disable("demo-service")
    await issuer.settled()
    await refused(issuer, text)
    await issuer.clients.enable("demo-service")
    await issuer.settled()
    await refused(issuer, text)
    granted(await issuer.exchange(other))
    granted(await issuer.service_token())


async def test_a_key_that_one_process_remembers_is_over_when_another_ends_it(start_issuer: StartIssuer) -> None:
    """A48: what a process remembers of a key never outlives the rule that ends it, or its person."""
    async with start_issuer() as one, start_issuer() as other:
        first, second = await key_of_bob(one), await key_of_bob(one)
        for issuer in (one, other):
            for text in (first, second):
                granted(await issuer.exchange(text))
        await one.api_keys.revoke(id_of(first))
        await other.settled()
        await refused(other, first)
        granted(await other.exchange(second))
        await one.people.disable("bob")
        await other.settled()
        await refused(other, second)


async def test_giving_a_token_back_ends_the_key_it_came_from(issuer: Issuer) -> None:
    """RFC 7009: any token of a grant ends the grant; a person's key has no client that could."""
    text, personal = await key_of_service(issuer), await key_of_bob(issuer)
    token = granted(await issuer.exchange(text))["access_token"]
    foreign = granted(await issuer.exchange(personal))["access_token"]
    assert refusal(await issuer.revoke(foreign, SERVICE)) == REFUSED
    assert (await issuer.revoke(token, SERVICE)).status_code == 200
    await issuer.settled()
    await refused(issuer, text)
    assert [entry.revoked_at is not None for entry in await issuer.api_keys.list()] == [True, False]


async def test_a_token_does_not_outlive_its_key(issuer: Issuer) -> None:
    text = await key_of_bob(issuer, expires_in_days=1)
    assert granted(await issuer.exchange(text))["expires_in"] == 600
    soon = await key_of_bob(issuer)
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=100)
    await expire(issuer, soon, end)
    body = granted(await issuer.exchange(soon))
    claims = await issuer.claims(body["access_token"])
    assert claims["exp"] == int(end.timestamp())
    assert body["expires_in"] == claims["exp"] - claims["iat"] <= 100


async def test_every_key_that_is_good_for_nothing_gets_the_same_answer(issuer: Issuer) -> None:
    """A35: nobody learns which ids there are, or were."""
    live, over, expired = [await key_of_bob(issuer) for _ in range(3)]
    await issuer.api_keys.revoke(id_of(over))
    await expire(issuer, expired, datetime.now(UTC) - timedelta(seconds=1))
    wrong = write_key(dataclasses.replace(new_key(), key_id=id_of(live)))
    await issuer.settled()
    useless = [wrong, write_key(new_key()), over, expired, live[:-1], live + "0", live.upper(), "idk_", "garbage"]
    assert len({await refused(issuer, text) for text in useless}) == 1
    granted(await issuer.exchange(live))
    assert await refused(issuer, wrong), "the same when the right one is remembered"


async def test_a_request_without_a_key_is_malformed(issuer: Issuer) -> None:
    assert refusal(await issuer.token(API_KEY_GRANT)) == (400, "invalid_request")
    assert refusal(await issuer.exchange("")) == (400, "invalid_request")


async def test_a_key_is_the_only_credential_of_its_request(issuer: Issuer) -> None:
    """A30, RFC 6749 section 2.3"""
    text = await key_of_service(issuer)
    for extra in ({"auth": SERVICE}, {"client_id": "demo"}, {"client_id": SERVICE[0], "client_secret": SERVICE[1]}):
        assert refusal(await issuer.exchange(text, **extra)) == (400, "invalid_request")
    granted(await issuer.exchange(text, auth=("", "")))


async def test_a_key_opens_no_other_grant_and_no_client_needs_permission_for_it(issuer: Issuer) -> None:
    """A36"""
    text = await key_of_bob(issuer)
    answer = await issuer.token("client_credentials", api_key=text)
    assert refusal(answer) == (400, "unauthorized_client")
    await issuer.clients.create(NewClient("plain", ["refresh_token"], ["orders:read"]))
    _, key = await issuer.api_keys.create(NewApiKey("k", client_id="plain", scopes=["orders:read"]))
    await issuer.settled()
    granted(await issuer.exchange(key))


async def test_a_known_key_costs_no_sql(issuer: Issuer) -> None:
    text = await key_of_bob(issuer)
    granted(await issuer.exchange(text))
    async with issuer.stores.database.engine.begin() as connection:
        for table in ("api_key", "user_role", "user_account", "client", "resource", "role"):
            await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO gone_{table}")
    granted(await issuer.exchange(text))


async def test_a_key_shows_in_no_log_no_answer_and_no_row(
    issuer: Issuer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A64"""
    caplog.set_level(logging.DEBUG)
    text, over = await key_of_bob(issuer), await key_of_bob(issuer)
    await issuer.api_keys.revoke(id_of(over))
    await issuer.settled()
    answers = [await issuer.exchange(each) for each in (text, over, text[:-1] + "!", write_key(new_key()))]
    answers.append(await issuer.exchange(text, client_id="demo"))
    async with issuer.stores.database.read() as session:
        rows = [*(await session.scalars(select(ApiKey))).all(), *(await session.scalars(select(AuditEvent))).all()]
    request = TokenRequest(API_KEY_GRANT, ClientCredentials(None), "127.0.0.1", api_key=text)
    shown = "".join(
        [repr(request), caplog.text, *capsys.readouterr(), *(answer.text for answer in answers), *map(repr, rows)]
    )
    for each in (text, over):
        credential = read_key(each)
        assert credential is not None
        assert credential.secret not in shown


async def test_making_ending_and_using_a_key_stand_in_the_audit_trail(start_issuer: StartIssuer) -> None:
    """An invented key names nobody, and is not written down: whoever sends them would fill the disk."""
    async with start_issuer() as issuer:
        text = await key_of_bob(issuer)
        granted(await issuer.exchange(text))
        await issuer.api_keys.revoke(id_of(text))
        await issuer.settled()
        await refused(issuer, text)
        await refused(issuer, write_key(KeyCredential("0" * 22, "1" * 43)))
        database = issuer.stores.database
        subject = (await issuer.people.list())[1].subject
    async with database.read() as session:
        events = (await session.scalars(select(AuditEvent))).all()
    told = [(each.event, each.grant_id, each.subject) for each in events if each.event != "demo.created"]
    key_id = id_of(text)
    assert sorted(told) == sorted(
        [
            ("api_key.created", key_id, subject),
            ("token.issued", key_id, subject),
            ("api_key.revoked", key_id, subject),
            ("token.refused", "", subject),
        ]
    )
    await database.close()


async def test_the_last_use_is_written_when_the_server_stops(start_issuer: StartIssuer) -> None:
    began = time.time()
    async with start_issuer() as issuer:
        text = await key_of_bob(issuer)
        granted(await issuer.exchange(text))
        assert (await issuer.api_keys.list())[0].last_used_at is None, "never on the way of the answer"
    async with start_issuer() as issuer:
        (entry,) = await issuer.api_keys.list()
    assert entry.last_used_at is not None
    assert began <= entry.last_used_at.timestamp() <= time.time()
