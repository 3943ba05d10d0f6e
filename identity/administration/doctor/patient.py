"""What the checks look at, as they need it; the stores and the command line bring it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from identity.feed.clocks import StoreClock
from identity.feed.ledger import Ledger
from identity.feed.stores import Journal, Stream
from identity.feed.verifiers import Verifiers
from identity.keyring.place import KeyPlace
from identity.keyring.publication import Publications
from identity.oauth.grants.sessions import Sessions
from identity.store.sql.change import SqlChange
from identity.tokens.refresh_token import Family


class SqlCondition(Protocol):
    """What there is to know of the database; every method may raise `StoreUnavailableError`."""

    async def tables(self) -> tuple[str, str]:
        """Returns the revision of its tables, and why this version must not run on them (empty: it may)."""

    async def demo_rows(self) -> list[str]:
        """Returns the names of demo people, clients and resources."""

    async def has_people(self) -> bool:
        """Tells whether anybody can log in."""

    async def events_since(self, since: datetime, names: Collection[str]) -> dict[str, tuple[int, datetime]]:
        """Returns how often the audit trail tells of each of these events, and when it did last."""


class RedisCondition(Protocol):
    """What there is to know of Redis."""

    async def facts(self) -> list[dict[str, str]]:
        """Returns what each of its nodes says of itself (`INFO`); nothing, where it lives inside the process. May raise
        `StoreUnavailableError`."""


class FamilySurvey(Protocol):
    """All refresh token families."""

    def survey(self) -> AsyncIterator[tuple[Family, bool]]:
        """Yields each, and whether it was found replayed; a few at a time. Those that are there from beginning to end are
        seen."""

    async def end(self, family: str) -> None:
        """Removes a family."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the settings say that a check needs. Seconds."""

    is_production: bool
    has_passphrase: bool
    keeps_first_password: bool
    key_lifetime: float
    publication_seconds: float
    folders: Mapping[str, Path]
    high_water: int
    signing_algorithms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patient:
    """One installation."""

    facts: Facts
    keys: KeyPlace
    journal: Journal
    stream: Stream
    ledger: Ledger[SqlChange]
    sql: SqlCondition
    redis: RedisCondition
    clocks: Mapping[str, StoreClock]
    families: FamilySurvey
    sessions: Sessions
    publications: Publications
    verifiers: Verifiers
    actor: str
