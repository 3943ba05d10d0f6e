"""API keys as an operator makes and ends them: some of what the owner may have, for one resource, over for good (A48)."""

from datetime import UTC, datetime, timedelta

import pytest
from installation import Installation
from sqlmodel import select

from identity.accounts.passwords import Passwords
from identity.administration.api_keys import ApiKeys, NewApiKey
from identity.administration.clients import Clients
from identity.administration.errors import AdministrationError
from identity.administration.people import People
from identity.administration.resources import ResourceServices
from identity.administration.roles import Roles
from identity.feed.rules import Rule
from identity.models import ApiKey, AuditEvent
from identity.oauth.registration.new_client import NewClient
from identity.tokens.api_key import read_key
from identity.verifier.profile import RuleKind, rule_digest


class Office:
    """An operator at work: two resources, two people, a client."""

    def __init__(self, installation: Installation, hasher: Passwords) -> None:
        self.replica = installation.replicas[0]
        ledger = self.replica.ledger
        self.people, self.clients = People(ledger, hasher, "operator"), Clients(ledger, "operator")
        self.roles, self.resources = Roles(ledger, "operator"), ResourceServices(ledger, "operator")
        self.keys = ApiKeys(ledger, "operator")

    async def furnish(self) -> None:
        await self.resources.create("orders", "https://orders.example.com", ["orders:read", "orders:write"])
        await self.resources.create("bills", "https://bills.example.com", ["bills:read"])
        await self.roles.create("reader", ["orders:read", "bills:read"])
        await self.people.create("Alice", "correct horse battery", ["reader"])
        await self.clients.create(NewClient("reports", ["client_credentials"], ["orders:read", "orders:write"]))

    async def rows(self) -> list[ApiKey]:
        async with self.replica.database.read() as session:
            return list((await session.scalars(select(ApiKey).order_by(ApiKey.created_at))).all())  # type: ignore[arg-type]

    async def last_event(self) -> AuditEvent:
        async with self.replica.database.read() as session:
            return (await session.scalars(select(AuditEvent).order_by(AuditEvent.id))).all()[-1]  # type: ignore[arg-type]


@pytest.fixture
async def office(installation: Installation, hasher: Passwords) -> Office:
    made = Office(installation, hasher)
    await made.furnish()
    return made


ALICE_S = NewApiKey("nightly", user="alice", scopes=["orders:read"])
REPORTS_ = NewApiKey("import", client_id="reports", scopes=["orders:write", "orders:read"], expires_in_days=30)


async def test_a_key_is_kept_without_its_secret(office: Office) -> None:
    """A32"""
    entry, text = await office.keys.create(ALICE_S)
    credential = read_key(text)
    assert credential is not None
    (row,) = await office.rows()
    assert (row.key_id, row.secret_hash) == (credential.key_id, credential.secret_hash.hex())
    assert entry.key_id == credential.key_id
    assert credential.secret not in repr(row) + repr(entry)
    assert row.revision == (await office.replica.journal.head()).seq


async def test_a_key_says_whose_it_is_what_it_may_and_until_when(office: Office) -> None:
    await office.keys.create(ALICE_S)
    await office.keys.create(REPORTS_)
    first, second = await office.keys.list()
    assert (first.name, first.user, first.client_id, first.resource) == ("nightly", "Alice", None, "orders")
    assert (second.user, second.client_id, second.scopes) == (None, "reports", ("orders:read", "orders:write"))
    assert first.expires_at is None
    assert second.expires_at is not None
    assert abs(second.expires_at - datetime.now(UTC) - timedelta(days=30)) < timedelta(seconds=10)
    assert [entry.name for entry in await office.keys.list(user="ALICE")] == ["nightly"]
    assert [entry.name for entry in await office.keys.list(client_id="reports")] == ["import"]
    assert await office.keys.list(user="nobody") == []


async def test_ending_a_key_is_a_rule_about_its_grant(office: Office) -> None:
    """A48, A55"""
    entry, _ = await office.keys.create(ALICE_S)
    before = (await office.replica.journal.head()).seq
    for _ in range(2):
        await office.keys.revoke(entry.key_id)
    _, rules = await office.replica.journal.after(before)
    assert [(rule.kind, rule.digest, rule.ends) for rule in rules] == [
        (RuleKind.GRANT, rule_digest(RuleKind.GRANT, entry.key_id), True)
    ]
    assert await office.replica.agrees()
    assert (await office.rows())[0].revoked_at is not None


async def test_whatever_ends_grant_person_or_client_marks_their_keys_and_no_others(office: Office) -> None:
    """A48: a mark that outlives every rule."""
    alice, _ = await office.keys.create(ALICE_S)
    await office.keys.create(ALICE_S)
    await office.keys.create(REPORTS_)

    async def marked() -> list[bool]:
        return [row.revoked_at is not None for row in await office.rows()]

    await office.replica.revoke(Rule.revoking(RuleKind.SUBJECT, (await office.people.list())[0].subject))
    assert await marked() == [False, False, False], "a role taken ends no key"
    await office.replica.end(alice.key_id)
    assert await marked() == [True, False, False]
    before = (await office.rows())[0].revoked_at
    await office.people.disable("alice")
    assert await marked() == [True, True, False]
    assert (await office.rows())[0].revoked_at == before
    await office.clients.end_sessions("reports")
    assert await marked() == [True, True, True]


async def test_making_and_ending_are_audited(office: Office) -> None:
    entry, _ = await office.keys.create(ALICE_S)
    subject = (await office.people.list())[0].subject
    for act, event in ((None, "api_key.created"), (office.keys.revoke(entry.key_id), "api_key.revoked")):
        if act is not None:
            await act
        told = await office.last_event()
        facts = (told.event, told.actor, told.subject, told.client_id, told.grant_id, told.detail)
        assert facts == (event, "operator", subject, "", entry.key_id, "nightly")
    await office.keys.create(REPORTS_)
    told = await office.last_event()
    assert (told.subject, told.client_id) == ("", "reports")


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (NewApiKey("k", scopes=["orders:read"]), "name one of the two"),
        (NewApiKey("k", user="alice", client_id="reports", scopes=["orders:read"]), "name one of the two"),
        (NewApiKey("", user="alice", scopes=["orders:read"]), "printable"),
        (NewApiKey("a\nb", user="alice", scopes=["orders:read"]), "printable"),
        (NewApiKey("k", user="nobody", scopes=["orders:read"]), "no person"),
        (NewApiKey("k", client_id="nobody", scopes=["orders:read"]), "no client"),
        (NewApiKey("k", user="alice", scopes=["orders:write"]), "may not have the scope 'orders:write'"),
        (NewApiKey("k", client_id="reports", scopes=["bills:read"]), "may not have the scope 'bills:read'"),
        (NewApiKey("k", client_id="reports", scopes=["orders:read", "roles"]), "may not have the scope 'roles'"),
        (NewApiKey("k", user="alice", scopes=["no:such"]), "No resource owns"),
        (NewApiKey("k", user="alice"), "Name a resource"),
        (NewApiKey("k", user="alice", scopes=["roles"]), "Name a resource"),
        (NewApiKey("k", user="alice", scopes=["orders:read", "bills:read"]), "one resource"),
        (NewApiKey("k", user="alice", scopes=["orders:read"], resource="bills"), "one resource"),
        (NewApiKey("k", user="alice", resource="nowhere"), "no resource 'nowhere'"),
        (NewApiKey("k", user="alice", resource="orders", expires_in_days=0), "days"),
        (NewApiKey("k", user="alice", resource="orders", expires_in_days=10**9), "days"),
    ],
    ids=lambda value: "" if isinstance(value, NewApiKey) else value,
)
async def test_what_cannot_be_is_one_sentence_and_changes_nothing(office: Office, new: NewApiKey, why: str) -> None:
    with pytest.raises(AdministrationError, match=why):
        await office.keys.create(new)
    assert await office.rows() == []


async def test_nobody_who_is_disabled_gets_a_key(office: Office) -> None:
    """A48"""
    await office.people.disable("alice")
    await office.clients.disable("reports")
    for new in (ALICE_S, REPORTS_):
        with pytest.raises(AdministrationError):
            await office.keys.create(new)


async def test_a_key_without_scopes_is_for_the_resource_it_names(office: Office) -> None:
    """A service may decide by who somebody is alone."""
    entry, _ = await office.keys.create(NewApiKey("k", user="alice", scopes=["roles"], resource="bills"))
    assert (entry.resource, entry.scopes) == ("bills", ("roles",))


async def test_a_key_that_is_not_there_cannot_be_ended(office: Office) -> None:
    with pytest.raises(AdministrationError, match="no API key"):
        await office.keys.revoke("nothing")
