"""What an operator does: each change writes the rule that makes it true everywhere, and a line in the audit trail (A48)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest
from installation import Installation, Replica
from sqlmodel import select

from identity.accounts.passwords import Passwords
from identity.administration.clients import Clients
from identity.administration.errors import AdministrationError
from identity.administration.people import People
from identity.administration.resources import ResourceServices
from identity.administration.roles import Roles
from identity.feed.rules import CHANGED, Rule
from identity.models import AuditEvent, Client, Resource, User, UserRole
from identity.oauth.client_authentication import hash_secret
from identity.oauth.registration.new_client import NewClient
from identity.store.registry import RememberingRegistry
from identity.verifier.profile import RuleKind, rule_digest

ORDERS = "https://orders.example.com"
PASSWORD = "correct horse battery"


@dataclass
class Office:
    """An operator at work."""

    replica: Replica
    people: People
    clients: Clients
    roles: Roles
    resources: ResourceServices

    async def rules_of(self, act: Awaitable[object]) -> list[tuple[str, bytes, bool]]:
        """Does `act`; returns the rules it wrote, which SQL and Redis both hold."""
        before = (await self.replica.journal.head()).seq
        await act
        _, rules = await self.replica.journal.after(before)
        assert await self.replica.agrees()
        return [(rule.kind, rule.digest, rule.ends) for rule in rules]

    async def events(self) -> list[AuditEvent]:
        async with self.replica.database.read() as session:
            return list((await session.scalars(select(AuditEvent).order_by(AuditEvent.id))).all())

    async def rows(self, model: type) -> Sequence[object]:
        async with self.replica.database.read() as session:
            return (await session.scalars(select(model))).all()


def rule(made: Rule) -> tuple[str, bytes, bool]:
    return made.kind, made.digest, made.ends


def opened(replica: Replica, hasher: Passwords) -> Office:
    ledger, actor = replica.ledger, "operator"
    return Office(
        replica, People(ledger, hasher, actor), Clients(ledger, actor), Roles(ledger, actor), ResourceServices(ledger, actor)
    )  # fmt: skip


@pytest.fixture
async def office(installation: Installation, hasher: Passwords) -> Office:
    """One resource, two roles, a person, a client."""
    made = opened(installation.replicas[0], hasher)
    await made.resources.create("orders", ORDERS, ["orders:read", "orders:write"])
    await made.roles.create("reader", ["orders:read"])
    await made.roles.create("writer", ["orders:read", "orders:write"])
    await made.people.create("Alice", PASSWORD, ["reader"])
    await made.clients.create(NewClient("shop", ["password", "refresh_token"], ["orders:read"]))
    return made


@pytest.fixture
async def alice(office: Office) -> str:
    return (await office.people.list())[0].subject


async def last_event(office: Office) -> tuple[str, str, str, str]:
    event = (await office.events())[-1]
    return event.event, event.actor, event.subject, event.client_id


async def test_disabling_a_person_ends_everything_they_have(office: Office, alice: str) -> None:
    """A48, CVE-2023-22492"""
    assert await office.rules_of(office.people.disable("alice")) == [rule(Rule.ending(RuleKind.SUBJECT, alice))]
    assert not (await office.people.list())[0].is_enabled
    assert await last_event(office) == ("user.disabled", "operator", alice, "")


async def test_enabling_a_person_is_a_notice_and_revives_nothing(office: Office, alice: str) -> None:
    """A48"""
    await office.people.disable("alice")
    written = await office.rules_of(office.people.enable("ALICE"))
    assert written == [(CHANGED, rule_digest(RuleKind.SUBJECT, alice), False)]
    assert (await office.people.list())[0].is_enabled
    assert (await last_event(office))[0] == "user.enabled"


async def test_a_new_password_ends_every_session_that_began_with_the_old_one(office: Office, alice: str) -> None:
    """A48, U03"""
    before = (await office.rows(User))[0]
    written = await office.rules_of(office.people.set_password("alice", "another password"))
    assert written == [rule(Rule.ending(RuleKind.SUBJECT, alice))]
    after = (await office.rows(User))[0]
    assert after.password_hash != before.password_hash  # type: ignore[attr-defined]
    assert after.password_hash.startswith("$argon2id$")  # type: ignore[attr-defined]
    assert (await last_event(office))[0] == "user.password_set"


async def test_ending_sessions_ends_the_person_and_lets_them_in_again(office: Office, alice: str) -> None:
    assert await office.rules_of(office.people.end_sessions("alice")) == [rule(Rule.ending(RuleKind.SUBJECT, alice))]
    assert (await office.people.list())[0].is_enabled


async def test_taking_a_role_revokes_access_tokens_and_ends_no_session(office: Office, alice: str) -> None:
    """The next call is 401, the client refreshes silently and has what is left."""
    written = await office.rules_of(office.people.take_role("alice", "reader"))
    assert written == [rule(Rule.revoking(RuleKind.SUBJECT, alice))]
    assert (await office.people.list())[0].roles == ()
    with pytest.raises(AdministrationError):
        await office.people.take_role("alice", "reader")


async def test_giving_a_role_is_a_notice(office: Office, alice: str) -> None:
    written = await office.rules_of(office.people.give_role("alice", "writer"))
    assert written == [(CHANGED, rule_digest(RuleKind.SUBJECT, alice), False)]
    assert (await office.people.list())[0].roles == ("reader", "writer")
    for role in ("writer", "nobody-knows"):
        with pytest.raises(AdministrationError):
            await office.people.give_role("alice", role)


async def test_widening_a_role_revokes_nothing(office: Office) -> None:
    written = await office.rules_of(office.roles.set_scopes("reader", ["orders:read", "orders:write"]))
    assert written == [(CHANGED, rule_digest(RuleKind.EVERYTHING), False)]


async def test_narrowing_a_role_revokes_the_access_tokens_of_those_who_have_it(office: Office, alice: str) -> None:
    await office.people.create("Bob", PASSWORD, ["writer"])
    written = await office.rules_of(office.roles.set_scopes("reader", []))
    assert written == [
        rule(Rule.revoking(RuleKind.SUBJECT, alice)),
        (CHANGED, rule_digest(RuleKind.EVERYTHING), False),
    ]
    assert (await last_event(office))[0] == "role.changed"


@pytest.mark.parametrize("people", [100, 101])
async def test_narrowing_a_role_of_more_than_a_hundred_people_is_told_by_scope(office: Office, people: int) -> None:
    """Thousands of people are one rule for each lost scope, not thousands of rules."""
    async with office.replica.database.transaction() as session:
        names = [f"person-{number}" for number in range(people)]
        session.add_all([User(subject=name, username=name, username_key=name) for name in names])
        await session.flush()
        session.add_all([UserRole(subject=name, role="writer") for name in names])
    written = await office.rules_of(office.roles.set_scopes("writer", ["orders:read"]))
    notice = (CHANGED, rule_digest(RuleKind.EVERYTHING), False)
    if people > 100:
        assert written == [rule(Rule.revoking(RuleKind.AUDIENCE_SCOPE, ORDERS, "orders:write")), notice]
    else:
        assert sorted(written[:-1]) == sorted(rule(Rule.revoking(RuleKind.SUBJECT, name)) for name in names)
        assert written[-1] == notice


async def test_a_role_may_have_more_scopes_than_the_audit_trail_can_hold(office: Office) -> None:
    scopes = [f"long:{number:02d}:{'x' * 100}" for number in range(40)]
    await office.resources.create("long", "https://long.example.com", scopes)
    await office.roles.set_scopes("reader", scopes)
    assert (await office.events())[-1].detail.startswith("reader: long:00:")


async def test_disabling_a_client_ends_everything_issued_to_it(office: Office) -> None:
    """A48"""
    assert await office.rules_of(office.clients.disable("shop")) == [rule(Rule.ending(RuleKind.CLIENT, "shop"))]
    assert not (await office.clients.list())[0].is_enabled
    assert await last_event(office) == ("client.disabled", "operator", "", "shop")
    assert await office.rules_of(office.clients.enable("shop")) == [
        (CHANGED, rule_digest(RuleKind.CLIENT, "shop"), False)
    ]
    assert await office.rules_of(office.clients.end_sessions("shop")) == [rule(Rule.ending(RuleKind.CLIENT, "shop"))]


async def test_secrets_are_stored_only_as_hashes(office: Office) -> None:
    """A32"""
    _, client_secret = await office.clients.create(NewClient("job", ["client_credentials"], ["orders:read"]))
    _, resource_secret = await office.resources.create("stock", "https://stock.example.com", ["stock:read"])
    assert client_secret is not None
    client = next(row for row in await office.rows(Client) if row.client_id == "job")  # type: ignore[attr-defined]
    resource = next(row for row in await office.rows(Resource) if row.name == "stock")  # type: ignore[attr-defined]
    assert client.secret_hashes == [hash_secret(client_secret).hex()]  # type: ignore[attr-defined]
    assert resource.secret_hashes == [hash_secret(resource_secret).hex()]  # type: ignore[attr-defined]
    assert len(client_secret) >= 43
    assert not [event for event in await office.events() if client_secret in event.detail]


async def test_two_secrets_live_at_once_and_a_third_ends_the_first(office: Office) -> None:
    """A32: services change over without interruption."""
    _, first = await office.clients.create(NewClient("job", ["client_credentials"]))
    second = await office.clients.add_secret("job")

    async def living() -> list[str]:
        row = next(row for row in await office.clients.list() if row.client_id == "job")
        return row.secret_hashes

    assert await living() == [hash_secret(second).hex(), hash_secret(first or "").hex()]
    third = await office.clients.add_secret("job")
    assert await living() == [hash_secret(third).hex(), hash_secret(second).hex()]
    assert await office.rules_of(office.clients.add_secret("job")) == [
        (CHANGED, rule_digest(RuleKind.CLIENT, "job"), False)
    ]


async def test_secrets_added_by_two_operators_at_once_are_both_good(
    office: Office, installation: Installation, hasher: Passwords
) -> None:
    """A32: neither service is locked out."""
    await office.clients.create(NewClient("job", ["client_credentials"]))
    other = opened(installation.replica(), hasher)
    for _ in range(10):
        added = await asyncio.gather(office.clients.add_secret("job"), other.clients.add_secret("job"))
        row = next(row for row in await office.clients.list() if row.client_id == "job")
        assert set(row.secret_hashes) == {hash_secret(secret).hex() for secret in added}


async def test_of_operators_who_create_the_same_at_once_one_succeeds_and_the_others_are_told(
    office: Office, installation: Installation, hasher: Passwords
) -> None:
    """U14"""
    offices = [office, *(opened(installation.replica(), hasher) for _ in range(2))]
    creations: list[Callable[[Office], Awaitable[object]]] = [
        lambda each: each.people.create("Bob", PASSWORD),
        lambda each: each.clients.create(NewClient("job", ["client_credentials"])),
        lambda each: each.roles.create("auditor", []),
        lambda each: each.resources.create("stock", "https://stock.example.com", ["stock:read"]),
        lambda each: each.people.give_role("alice", "writer"),
    ]
    for create in creations:
        outcomes = await asyncio.gather(*(create(each) for each in offices), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert [type(outcome) for outcome in refused] == [AdministrationError] * 2


async def test_a_public_client_has_no_secret_and_may_not_speak_for_itself(office: Office) -> None:
    """A35"""
    _, secret = await office.clients.create(
        NewClient("spa", ["password", "refresh_token"], authentication_method="none")
    )
    assert secret is None
    refused = [
        office.clients.add_secret("spa"),
        office.clients.create(NewClient("a", ["client_credentials"], authentication_method="none")),
        office.clients.create(
            NewClient("b", ["refresh_token"], authentication_method="none", rotates_refresh_tokens=False)
        ),
    ]
    for attempt in refused:
        with pytest.raises(AdministrationError):
            await attempt


async def test_running_servers_learn_the_origins_of_a_new_client_at_once(office: Office) -> None:
    """CORS: what a server remembers of all origins is out of date when a client is created."""
    registry = RememberingRegistry(office.replica.database, "https://login.example.com")
    assert await registry.origins() == frozenset()
    new = NewClient("spa", ["password"], authentication_method="none", origins=["https://spa.example.com"])
    for _, digest, _ in await office.rules_of(office.clients.create(new)):
        registry.forget(digest)
    assert await registry.origins() == {"https://spa.example.com"}
    written = await office.rules_of(office.clients.allow_origin("spa", "https://two.example.com"))
    assert written == [(CHANGED, rule_digest(RuleKind.CLIENT, "spa"), False)]
    assert await office.rules_of(office.clients.allow_origin("spa", "https://two.example.com")) == []


async def test_a_new_resource_is_a_notice_about_everything(office: Office) -> None:
    written = await office.rules_of(office.resources.create("stock", "https://stock.example.com", ["stock:read"]))
    assert written == [(CHANGED, rule_digest(RuleKind.EVERYTHING), False)]


async def test_a_subject_is_random_and_no_clients(office: Office, alice: str) -> None:
    """A42, U14"""
    bob = await office.people.create("Bob", PASSWORD)
    assert bob.subject != alice
    assert len(bob.subject) >= 26
    assert ":" not in bob.subject


async def test_what_is_refused_changes_nothing(office: Office) -> None:
    """One clear sentence; no row, no rule, no event."""
    rows = [await office.rows(model) for model in (User, Client, Resource, UserRole)]
    events, head = await office.events(), await office.replica.journal.head()
    refused: list[Awaitable[object]] = [
        office.people.create("ALICE", PASSWORD),
        office.people.create("bob", "short"),
        office.people.create("b:b", PASSWORD),
        office.people.create("bob", PASSWORD, ["nobody-knows"]),
        office.people.disable("bob"),
        office.people.set_password("alice", "short"),
        office.clients.create(NewClient("shop", ["password"])),
        office.clients.create(NewClient("a b", ["password"])),
        office.clients.create(NewClient("new", ["implicit"])),
        office.clients.create(NewClient("new", ["password"], ["nobody:owns"])),
        office.clients.create(NewClient("new", ["password"], default_resource="none")),
        office.clients.create(NewClient("new", ["password"], origins=["https://a.example.com/path"])),
        office.clients.create(NewClient("new", ["password"], name="x" * 256)),
        office.clients.disable("none"),
        office.roles.create("reader", []),
        office.roles.create("a b", []),
        office.roles.create("new", ["nobody:owns"]),
        office.roles.set_scopes("none", []),
        office.resources.create("orders", "https://other.example.com", []),
        office.resources.create("other", ORDERS, []),
        office.resources.create("other", "https://other.example.com", ["orders:read"]),
        office.resources.create("other", "https://other.example.com", ["roles"]),
        office.resources.create("other", "https://other.example.com", ["bad scope"]),
        office.resources.create("other", "https://other.example.com", [""]),
        office.resources.create("other", "https://other.example.com", ['quo"te']),
        office.resources.create("other", "relative", []),
        office.resources.create("other", "https://other.example.com#a", []),
        office.resources.create("other", "https://other.example.com", [], "at+xml"),
    ]
    for attempt in refused:
        with pytest.raises(AdministrationError) as refusal:
            await attempt
        assert str(refusal.value).endswith(".")
    assert [await office.rows(model) for model in (User, Client, Resource, UserRole)] == rows
    assert await office.events() == events
    assert await office.replica.journal.head() == head


async def test_no_event_of_the_audit_trail_holds_a_credential(office: Office) -> None:
    """A64"""
    _, secret = await office.clients.create(NewClient("job", ["client_credentials"]))
    await office.people.set_password("alice", "another password")
    text = " ".join(event.model_dump_json() for event in await office.events())
    for credential in (PASSWORD, "another password", secret or "", "$argon2id$"):
        assert credential not in text
