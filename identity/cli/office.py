"""What a command works with: the administration, on the stores the settings name or the embedded ones of a data folder."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from identity.accounts.passwords import Passwords
from identity.administration.api_keys import ApiKeys
from identity.administration.clients import Clients
from identity.administration.consents import Consents
from identity.administration.errors import AdministrationError
from identity.administration.invitations import Invitations
from identity.administration.key_compromise import Exposure, KeyCompromise, exposure_of
from identity.administration.keys import SigningKeys
from identity.administration.people import People
from identity.administration.resources import ResourceServices
from identity.administration.revocation import OperatorRevocation
from identity.administration.roles import Roles
from identity.cli.options import DEV_DEFAULTS, ISSUER_NOTE
from identity.cli.process import configure_logging, refuse
from identity.feed.stores import StoreUnavailableError
from identity.feed.verifiers import Verifiers
from identity.installed_keys import key_place
from identity.keyring.live import LiveKeys
from identity.keyring.states import KeyringError
from identity.models import AuditEvent
from identity.oauth.grants.sessions import Sessions
from identity.oauth.presented_token import TokenReader
from identity.settings import ConfigurationError, Settings, load_settings
from identity.store.embedded import EmbeddedStoreError, embedded_valkey
from identity.store.redis.issued import RedisIssueCounts
from identity.store.redis.verifiers import RedisVerifiers
from identity.store.sql.dump import DumpError
from identity.wiring.parts import Stores, signing_keys

T = TypeVar("T")

EXIT_FAILED = 1
_DEFAULT_ISSUER = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Office:
    """Everything a command may do."""

    settings: Settings
    stores: Stores
    people: People
    clients: Clients
    invitations: Invitations
    consents: Consents
    roles: Roles
    resources: ResourceServices
    api_keys: ApiKeys
    keys: SigningKeys
    verifiers: Verifiers
    actor: str

    async def revocation(self) -> OperatorRevocation:
        """Revocation needs the keys, to read tokens; other commands work without them."""
        sessions = Sessions(self.stores.ledger, self.stores.families)
        keys = LiveKeys(key_place(self.settings, self.stores.database))
        await keys.start()
        tokens = TokenReader(self.stores.families, keys, self.settings.issuer)
        return OperatorRevocation(self.stores.ledger, sessions, tokens, self.people, self.clients, self.actor)

    @property
    def key_compromise(self) -> KeyCompromise:
        """What to do about stolen keys."""
        return KeyCompromise(self.keys, self.stores.ledger, self.actor)

    async def exposure_of(self, kids: Collection[str]) -> Exposure:
        """Counts who holds tokens of these keys."""
        return await exposure_of(kids, self.stores.families, RedisIssueCounts(self.stores.redis))

    async def record(self, event: str, detail: str) -> None:
        """Adds an event to the audit trail."""
        async with self.stores.ledger.change() as change:
            change.record(AuditEvent(event=event, actor=self.actor, detail=detail))


def work_in_office(data_dir: Path, work: Callable[[Office], Awaitable[T]]) -> T:
    """Returns what `work` returns; what can go wrong is one sentence and an exit code."""
    configure_logging()
    try:
        with _settings(data_dir) as settings:
            return asyncio.run(_work(settings, work))
    except ConfigurationError as error:
        sys.exit(refuse(error.problems))
    except (
        AdministrationError,
        DumpError,
        EmbeddedStoreError,
        KeyringError,
        OSError,
        StoreUnavailableError,
    ) as error:
        print(f"identity: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)


@contextmanager
def _settings(data_dir: Path) -> Iterator[Settings]:
    """Yields the settings of the environment; where they name no stores, the embedded ones of `data_dir`, running or not."""
    environment = {**os.environ, "IDENTITY_DATA_DIR": str(data_dir)}
    if any(name.startswith(("IDENTITY_DATABASE_URL", "IDENTITY_REDIS_URL")) for name in environment):
        yield load_settings(environment)
        return
    database = data_dir.absolute() / "identity.sqlite3"
    if not database.exists():
        raise ConfigurationError(
            [f"{data_dir} holds no embedded stores, and IDENTITY_DATABASE_URL and IDENTITY_REDIS_URL are not set"]
        )
    with embedded_valkey(data_dir.absolute()) as redis_url:
        embedded = {
            "IDENTITY_MODE": "dev",
            "IDENTITY_DATABASE_URL": f"sqlite:///{database}",
            "IDENTITY_REDIS_URL": redis_url,
        }
        note = data_dir / ISSUER_NOTE
        issuer = note.read_text(encoding="utf-8") if note.exists() else _DEFAULT_ISSUER
        yield load_settings({"IDENTITY_ISSUER": issuer, **DEV_DEFAULTS, **environment, **embedded})


async def _work(settings: Settings, work: Callable[[Office], Awaitable[T]]) -> T:
    stores, passwords = Stores.of(settings), Passwords(settings.password_threads)
    actor = f"cli:{getpass.getuser()}"
    office = Office(
        settings=settings,
        stores=stores,
        people=People(stores.ledger, passwords, actor),
        clients=Clients(stores.ledger, actor),
        invitations=Invitations(stores.ledger, actor),
        consents=Consents(stores.ledger, actor),
        roles=Roles(stores.ledger, actor),
        resources=ResourceServices(stores.ledger, actor),
        api_keys=ApiKeys(stores.ledger, actor),
        keys=signing_keys(settings, stores),
        verifiers=RedisVerifiers(stores.redis),
        actor=actor,
    )
    try:
        return await work(office)
    finally:
        passwords.close()
        await stores.close()
