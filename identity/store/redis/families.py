"""Refresh token families in Redis: one packed string each, advanced by one script in one round trip."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Collection

from identity.feed.rules import Head
from identity.feed.stores import StoreUnavailableError
from identity.store.redis.commands import Node, RedisConnection, Script
from identity.store.redis.keys import FEED_HEAD, LOOK_AT_HEAD, family_key, family_of
from identity.tokens.issued import Holder
from identity.tokens.refresh_token import Family, Generation, Step
from identity.verifier.profile import Confirmation

_REMEMBERED = 10_000

_KID_CHARACTERS = 12
"""Of a key's name, which is a digest: 72 bits tell any keys apart, and there are a million families."""

_LOOKED_AT = 500
"""Families read in one go: Redis is busy with them for a fifth of a millisecond."""


_REPLAYED = "R"
_ALWAYS = 7
"""What every record says of a grant, in the order of the first version; later ones added to the end."""

_SAYING_NOTHING = ("", None, ((), ()))
"""What a record means that ends before the session, the key it is bound to, the claims."""


class RedisFamilies:
    """Implements `tokens.refresh_token.Families`. Lifetimes and window are seconds."""

    def __init__(self, connection: RedisConnection, idle_lifetime: float, retry_window: float) -> None:
        self._connection = connection
        self._idle = int(idle_lifetime * 1000)
        self._window = int(retry_window * 1000)
        self._script = Script("families.lua")
        self._remembered: OrderedDict[str, Family] = OrderedDict()

    async def begin(self, family: Family, kid: str) -> None:
        """Stores a new family at generation 0. Its first end is the idle lifetime, on the caller's clock."""
        record, ends = self.first(family, kid)
        await self._connection.execute("SET", family_key(family.family), record, "PXAT", ends)
        self._remember(family)

    def first(self, family: Family, kid: str) -> tuple[str, int]:
        """Returns the record of a family that begins now, and when it ends if nobody refreshes it (Unix milliseconds)."""
        now = int(time.time() * 1000)
        return _pack(family, now, kid), min(now + self._idle, family.expires_at * 1000)

    async def read(self, family: str) -> Family | None:
        """Returns what the family was granted. Remembering it saves a round trip, and is safe: it never changes, and
        whether it is still alive is decided by `step`."""
        if (known := self._remembered.get(family)) is not None:
            self._remembered.move_to_end(family)
            return known
        record = await self._connection.execute("GET", family_key(family))
        if record is None:
            return None
        found = _unpack(family, record)
        self._remember(found)
        return found

    async def step(self, generation: Generation, rotates: bool, kid: str, under: Head | None = None) -> Step:
        """Advances the family by one; see `families.lua`. In a cluster, where the feed may be on another node than the family,
        the head is looked at before: of what is added meanwhile, nobody was told before this was called."""
        how = "rotate" if rotates else "keep"
        if under is None or self._connection.has_one_history:
            return await self._run(generation, how, kid, under)
        if await self._connection.execute_next(*LOOK_AT_HEAD) != [under.epoch, str(under.seq)]:
            return Step.BEHIND
        return await self._run(generation, how, kid)

    async def fast_forward(self, generation: Generation, kid: str) -> Step:
        """Advances past a generation Redis never saw become current, because it lost that write."""
        return await self._run(generation, "forward", kid)

    async def end(self, family: str) -> None:
        """Removes the family."""
        self._remembered.pop(family, None)
        await self._connection.execute("DEL", family_key(family))

    async def holders(self, kids: Collection[str]) -> Counter[Holder]:
        """Counts the families whose last access token one of these keys signed. Reads all families, a few at a time; those
        that are there from beginning to end are seen (Redis's `SCAN`)."""
        short = {kid[:_KID_CHARACTERS] for kid in kids}
        found: Counter[Holder] = Counter()
        async for _, record in self._records():
            if (holder := _holder(record, short)) is not None:
                found[holder] += 1
        return found

    async def survey(self) -> AsyncIterator[tuple[Family, bool]]:
        """Yields every family, and whether it was found replayed; as for `holders`."""
        async for key, record in self._records():
            yield _unpack(family_of(key), record), _fields(record)[3] == _REPLAYED

    async def _records(self) -> AsyncIterator[tuple[str, str]]:
        seen: set[str] = set()  # Over all nodes: a family that moves from one to another is met on both.
        for node in await self._connection.nodes():
            async for keys in _keys_of(node):
                fresh = set(keys) - seen
                seen |= fresh
                together = self._connection.together(fresh)
                answers = await asyncio.gather(*(self._connection.execute("MGET", *some) for some in together))
                for some, records in zip(together, answers, strict=True):
                    for key, record in zip(some, records, strict=True):
                        if record:
                            yield key, record

    async def _run(self, generation: Generation, how: str, kid: str, under: Head | None = None) -> Step:
        key = family_key(generation.family)
        arguments = [generation.number, self._window, self._idle, how, kid[:_KID_CHARACTERS]]
        keys = [key]
        if under is not None:
            keys, arguments = [key, FEED_HEAD], [*arguments, under.epoch, under.seq]
        step = Step(await self._connection.run(self._script, keys, *arguments))
        if not self._connection.trusts(key):
            # It may have come back as it was before the family ended; whoever follows the feed is about to end it again.
            raise StoreUnavailableError("Redis", "a node of the cluster was not looked through yet")
        return step

    def _remember(self, family: Family) -> None:
        self._remembered[family.family] = family
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)


async def _keys_of(node: Node) -> AsyncIterator[list[str]]:
    cursor = "0"
    while True:
        cursor, keys = await node.execute("SCAN", cursor, "MATCH", family_key("*"), "COUNT", _LOOKED_AT)
        yield keys
        if str(cursor) == "0":
            return


def _pack(family: Family, now_ms: int, kid: str) -> str:
    grant = [
        family.subject,
        family.client_id,
        " ".join(family.scopes),
        family.audience,
        family.auth_time,
        " ".join(family.authentication_methods),
        family.revision,
        family.session_id,
        family.confirmation.claim if family.confirmation else None,
        [family.userinfo_claims, family.id_token_claims] if family.userinfo_claims or family.id_token_claims else None,
    ]
    while len(grant) > _ALWAYS and not grant[-1]:  # What says nothing is not written: there are a million families.
        del grant[-1]
    packed = json.dumps(grant, separators=(",", ":"), ensure_ascii=False)
    return f"0 {now_ms} {now_ms} A {family.expires_at} {kid[:_KID_CHARACTERS]} {packed}"


def _unpack(family: str, record: str) -> Family:
    *_, ends, _, grant = _fields(record)
    # Earlier versions wrote less, and later ones may write more.
    subject, client_id, scopes, audience, auth_time, methods, revision, *more = json.loads(grant)
    session_id, bound, single = (*more, *_SAYING_NOTHING[len(more) :])[:3]
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
        session_id=session_id,
        confirmation=None if bound is None else Confirmation.of(bound),
        userinfo_claims=tuple(single[0]),
        id_token_claims=tuple(single[1]),
    )


def _holder(record: str, short_kids: Collection[str]) -> Holder | None:
    """Returns whom the family's last access token was for, if one of these keys signed it."""
    *_, kid, grant = _fields(record)
    if kid[:_KID_CHARACTERS] not in short_kids:  # An earlier version noted all of it.
        return None
    _, client_id, _, audience, *_ = json.loads(grant)
    return Holder(client_id, audience)


def _fields(record: str) -> list[str]:
    """Splits a record; one of an earlier version names no key."""
    *fields, rest = record.split(" ", 5)
    kid, _, grant = ("", "", rest) if rest.startswith("[") else rest.partition(" ")
    return [*fields, kid, grant]
