"""The demo that `identity dev` makes: two people, three clients, one resource. `identity serve` refuses to run with it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from identity.accounts.passwords import Passwords
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.models import AuditEvent, Client, Resource, Role, User, UserRole
from identity.oauth.claims import OPENID_SCOPES
from identity.oauth.client_authentication import hash_secret
from identity.store.sql.change import SqlChange
from identity.verifier.profile import RuleKind

_SCOPES = ["orders:read", "orders:write"]
_ROLES = {"reader": ["orders:read"], "editor": _SCOPES}
_PEOPLE = {"alice": ("wonderland", "reader"), "bob": ("builder", "editor")}


@dataclass(frozen=True, slots=True)
class DemoNotes:
    """What the demo's programs need to know. It is written down before the rows are made, so that a start that was cut
    off in between is finished by the next one."""

    resource_identifier: str
    client_secret: str = field(repr=False)
    resource_secret: str = field(repr=False)


async def make_demo(ledger: Ledger[SqlChange], passwords: Passwords, notes: DemoNotes) -> None:
    """Registers the demo, in one transaction, unless it is there."""
    async with ledger.change() as change:
        if await change.registrations.client("demo") is not None:
            return
        hashes = {name: await passwords.hash(password) for name, (password, _) in _PEOPLE.items()}
        change.registrations.add(*_independent(notes, hashes))
        await change.registrations.flush()
        subjects = {user.username: user.subject for user in await change.registrations.users()}
        change.registrations.add(*(UserRole(subject=subjects[name], role=role) for name, (_, role) in _PEOPLE.items()))
        change.registrations.add(_public_client(notes), _web_client(notes), _service(notes))
        change.revoke(Rule.changed(RuleKind.EVERYTHING))
        change.record(AuditEvent(event="demo.created", actor="identity dev"))


def _independent(notes: DemoNotes, hashes: dict[str, str]) -> Sequence[Resource | Role | User]:
    return [
        Resource(
            name="orders",
            identifier=notes.resource_identifier,
            scopes=_SCOPES,
            secret_hashes=[hash_secret(notes.resource_secret).hex()],
            is_demo=True,
        ),
        *(Role(name=name, scopes=scopes) for name, scopes in _ROLES.items()),
        *(
            User(
                subject=secrets.token_hex(13),
                username=name,
                username_key=name,
                password_hash=hashed,
                claims={"name": name.title(), "email": f"{name}@example.com", "email_verified": True},
                is_demo=True,
            )
            for name, hashed in hashes.items()
        ),
    ]


def _public_client(notes: DemoNotes) -> Client:
    return Client(
        client_id="demo",
        name="Demo",
        grant_types=["password", "refresh_token"],
        scopes=[*_SCOPES, "roles"],
        origins=[notes.resource_identifier],
        default_resource="orders",
        is_demo=True,
    )


def _web_client(notes: DemoNotes) -> Client:
    """For the code flow: a program on this machine, which listens where there is a free port."""
    return Client(
        client_id="demo-web",
        name="Demo web app",
        grant_types=["authorization_code", "refresh_token"],
        redirect_uris=["http://127.0.0.1/callback"],
        post_logout_redirect_uris=["http://127.0.0.1/"],
        scopes=[*_SCOPES, *sorted(OPENID_SCOPES), "roles"],
        origins=[notes.resource_identifier],
        default_resource="orders",
        is_demo=True,
    )


def _service(notes: DemoNotes) -> Client:
    return Client(
        client_id="demo-service",
        name="Demo service",
        secret_hashes=[hash_secret(notes.client_secret).hex()],
        grant_types=["client_credentials"],
        scopes=_SCOPES,
        default_resource="orders",
        is_demo=True,
    )
