"""Authorization codes in Redis, by their digest: whoever reads Redis finds none that is good for anything."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict
from typing import Any

from identity.feed.stores import StoreUnavailableError
from identity.oauth.authorization.codes import MOST_WRONG_VERIFIERS, CodeGrant, Redemption
from identity.store.redis.commands import RedisConnection, Script
from identity.tokens.refresh_token import Family

_CODE_BYTES = 32


class RedisCodes:
    """Implements `oauth.authorization.codes.Codes`. `lifetime` is of a code, `memory` of one that was used, both in seconds."""

    def __init__(self, connection: RedisConnection, lifetime: float, memory: float) -> None:
        self._connection = connection
        self._lifetime = int(lifetime * 1000)
        self._memory = int(memory * 1000)
        self._script = Script("codes.lua")

    async def issue(self, grant: CodeGrant) -> str:
        """Returns a new code."""
        code = secrets.token_urlsafe(_CODE_BYTES)
        packed = json.dumps(asdict(grant), separators=(",", ":"), ensure_ascii=False)
        await self._connection.execute("SET", _key(code), f"N 0  {packed}", "PX", self._lifetime)
        return code

    async def read(self, code: str) -> CodeGrant | None:
        """Returns what the code stands for, used or not."""
        record = await self._connection.execute("GET", _key(code))
        return None if record is None else _unpack(record)

    async def redeem(self, code: str) -> Redemption:
        """Uses the code up; see `codes.lua`."""
        key = _key(code)
        answer = Redemption(await self._run(key, "redeem", secrets.token_urlsafe(12)))
        if not self._connection.trusts(key):
            # It may have come back as it was before the code was used.
            raise StoreUnavailableError("Redis", "a node of the cluster was not looked through yet")
        return answer

    async def count_wrong_verifier(self, code: str) -> None:
        """Notes a wrong verifier."""
        await self._run(_key(code), "wrong", "")

    async def _run(self, key: str, how: str, attempt: str) -> Any:
        return await self._connection.run(self._script, [key], how, attempt, self._memory, MOST_WRONG_VERIFIERS)


def _key(code: str) -> str:
    return f"code:{{{hashlib.sha256(code.encode('utf-8', 'surrogatepass')).hexdigest()}}}"


def _unpack(record: str) -> CodeGrant:
    found = json.loads(record[record.index("{") :])
    family = found.pop("family")
    for name in ("scopes", "authentication_methods"):
        family[name] = tuple(family[name])
    return CodeGrant(family=Family(**family), **found)
