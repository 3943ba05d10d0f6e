"""The keys of clients that publish them at an address of theirs, so that they can rotate them without telling us."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from identity.oauth.client_keys import ClientKey, ClientKeyError, read_client_keys
from identity.oauth.registry import RegisteredClient
from identity.outbound.client import Outbound
from identity.outbound.errors import OutboundError

_SECONDS: Final = 300.0
"""How long fetched keys are used."""

_COOLDOWN: Final = 10.0
"""How long an address is left alone, whatever is signed with keys that were not there."""

_REMEMBERED: Final = 1000
_MOST_BYTES: Final = 64 * 1024
_PATIENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: tuple[ClientKey, ...]
    at: float


@dataclass(slots=True)
class PublishedClientKeys:
    """Finds the keys of clients: the registered ones, or those at the registered address."""

    outbound: Outbound
    clock: Callable[[], float] = time.monotonic
    _fetched: OrderedDict[str, _Fetched] = field(default_factory=OrderedDict)
    _fetching: dict[str, asyncio.Task[tuple[ClientKey, ...]]] = field(default_factory=dict)

    async def of(self, client: RegisteredClient, kid: object = None) -> tuple[ClientKey, ...]:
        """Returns the keys that the client signs with. A `kid` that is not among them has them looked for again, seldom; keys
        that cannot be fetched are those of before, or none."""
        if not client.jwks_uri:
            return client.keys
        known, now = self._fetched.get(client.jwks_uri), self.clock()
        if known is not None and now - known.at < (_SECONDS if _holds(known, kid) else _COOLDOWN):
            return known.keys
        # One for all who wait, and nobody else's when one of them leaves: each could have us ask a stranger once more.
        fetching = self._fetching.get(client.jwks_uri)
        if fetching is None:
            fetching = self._fetching[client.jwks_uri] = asyncio.create_task(self._fetch(client.jwks_uri))
        return await asyncio.shield(fetching)

    async def _fetch(self, uri: str) -> tuple[ClientKey, ...]:
        known, now = self._fetched.get(uri), self.clock()
        try:
            keys = read_client_keys(_entries(await self.outbound.get_json(uri, _MOST_BYTES, _PATIENCE)))
        except (OutboundError, ClientKeyError):
            keys = known.keys if known else ()
        finally:
            del self._fetching[uri]
        self._remember(uri, _Fetched(keys, now))
        return keys

    def _remember(self, uri: str, fetched: _Fetched) -> None:
        self._fetched[uri] = fetched
        self._fetched.move_to_end(uri)
        if len(self._fetched) > _REMEMBERED:
            self._fetched.popitem(last=False)


def _entries(document: object) -> list[Mapping[str, object]]:
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ClientKeyError("it is no JWK Set")
    return entries


def _holds(fetched: _Fetched, kid: object) -> bool:
    return any(kid in (None, key.kid) for key in fetched.keys)
