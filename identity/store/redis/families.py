"""Refresh token families in Redis: one packed string each, advanced by one script in one round trip."""

from __future__ import annotations

import json
import time
from collections import OrderedDict

from identity.store.redis.connection import RedisConnection, Script
from identity.tokens.refresh_token import Family, Generation, Step

_REMEMBERED = 10_000


class RedisFamilies:
    """Implements `tokens.refresh_token.Families`. Lifetimes and window are seconds."""

    def __init__(self, connection: RedisConnection, idle_lifetime: float, retry_window: float) -> None:
        self._connection = connection
        self._idle = int(idle_lifetime * 1000)
        self._window = int(retry_window * 1000)
        self._script = Script("families.lua")
        self._remembered: OrderedDict[str, Family] = OrderedDict()

    async def begin(self, family: Family) -> None:
        """Stores a new family at generation 0. Its first end is the idle lifetime, on the caller's clock."""
        now = int(time.time() * 1000)
        ends = min(now + self._idle, family.expires_at * 1000)
        await self._connection.execute("SET", _key(family.family), _pack(family, now), "PXAT", ends)
        self._remember(family)

    async def read(self, family: str) -> Family | None:
        """Returns what the family was granted. Remembering it saves a round trip, and is safe: it never changes, and
        whether it is still alive is decided by `step`."""
        if (known := self._remembered.get(family)) is not None:
            self._remembered.move_to_end(family)
            return known
        record = await self._connection.execute("GET", _key(family))
        if record is None:
            return None
        found = _unpack(family, record)
        self._remember(found)
        return found

    async def step(self, generation: Generation, rotates: bool) -> Step:
        """Advances the family by one; see `families.lua`."""
        return await self._run(generation, "rotate" if rotates else "keep")

    async def fast_forward(self, generation: Generation) -> Step:
        """Advances past a generation Redis never saw become current, because it lost that write."""
        return await self._run(generation, "forward")

    async def end(self, family: str) -> None:
        """Removes the family."""
        self._remembered.pop(family, None)
        await self._connection.execute("DEL", _key(family))

    async def _run(self, generation: Generation, how: str) -> Step:
        keys = [_key(generation.family)]
        return Step(await self._connection.run(self._script, keys, generation.number, self._window, self._idle, how))

    def _remember(self, family: Family) -> None:
        self._remembered[family.family] = family
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)


def _key(family: str) -> str:
    # The braces make Redis Cluster place everything of a family in one slot.
    return f"f:{{{family}}}"


def _pack(family: Family, now_ms: int) -> str:
    grant = [
        family.subject,
        family.client_id,
        " ".join(family.scopes),
        family.audience,
        family.auth_time,
        " ".join(family.authentication_methods),
        family.revision,
    ]
    return f"0 {now_ms} {now_ms} A {family.expires_at} {json.dumps(grant, separators=(',', ':'), ensure_ascii=False)}"


def _unpack(family: str, record: str) -> Family:
    *_, ends, grant = record.split(" ", 5)
    subject, client_id, scopes, audience, auth_time, methods, revision = json.loads(grant)
    return Family(
        family=family,
        subject=subject,
        client_id=client_id,
        scopes=tuple(scopes.split()),
        audience=audience,
        auth_time=auth_time,
        authentication_methods=tuple(methods.split()),
        revision=revision,
        expires_at=int(ends),
    )
