"""Authorization codes in Redis: beside the session that each begins, and by their digest, so that whoever reads Redis finds
none that is good for anything."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict
from typing import Any

from identity.feed.stores import StoreUnavailableError
from identity.oauth.authorization.codes import MOST_WRONG_VERIFIERS, CodeGrant, Redemption
from identity.store.redis.commands import RedisConnection, Script
from identity.store.redis.families import RedisFamilies
from identity.store.redis.keys import code_key, family_key
from identity.tokens.refresh_token import Family
from identity.verifier.profile import Confirmation

_SECRET_BYTES = 32


class RedisCodes:
    """Implements `oauth.authorization.codes.Codes`. `lifetime` is of a code, `memory` of one that was used, both in seconds.

    A code is the family that it begins, which is no secret, and a secret. So both are in one slot of a cluster, and in one
    history: a code that was used is not forgotten while the session is there.
    """

    def __init__(self, connection: RedisConnection, families: RedisFamilies, lifetime: float, memory: float) -> None:
        self._connection = connection
        self._families = families
        self._lifetime = int(lifetime * 1000)
        self._memory = int(memory * 1000)
        self._script = Script("codes.lua")

    async def issue(self, grant: CodeGrant) -> str:
        """Returns a new code."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        packed = json.dumps(_written(grant), separators=(",", ":"), ensure_ascii=False)
        record = f"N 0  {_digest(secret)} {packed}"
        await self._connection.execute("SET", code_key(grant.family.family), record, "PX", self._lifetime)
        return f"{grant.family.family}.{secret}"

    async def read(self, code: str) -> CodeGrant | None:
        """Returns what the code stands for, used or not."""
        family, _, secret = code.partition(".")
        record = await self._connection.execute("GET", code_key(family)) if family.isascii() else None
        if record is None:
            return None
        *_, digest, packed = record.split(" ", 4)
        return _unpack(packed) if hmac.compare_digest(digest, _digest(secret)) else None

    async def redeem(self, grant: CodeGrant, kid: str | None) -> Redemption:
        """Uses the code up, and begins the family; see `codes.lua`."""
        key = code_key(grant.family.family)
        answer = Redemption(await self._redeem(key, grant.family, kid, secrets.token_urlsafe(12)))
        if not self._connection.trusts(key):
            # It may have come back as it was before the code was used.
            raise StoreUnavailableError("Redis", "a node of the cluster was not looked through yet")
        return answer

    async def count_wrong_verifier(self, code: str) -> None:
        """Notes a wrong verifier."""
        await self._run([code_key(code.partition(".")[0])], "wrong", "")

    async def _redeem(self, key: str, family: Family, kid: str | None, attempt: str) -> Any:
        if kid is None:
            return await self._run([key], "redeem", attempt)
        return await self._run([key, family_key(family.family)], "redeem", attempt, *self._families.first(family, kid))

    async def _run(self, keys: list[str], how: str, attempt: str, *family: Any) -> Any:
        arguments = (how, attempt, self._memory, MOST_WRONG_VERIFIERS, *family)
        return await self._connection.run(self._script, keys, *arguments)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _written(grant: CodeGrant) -> dict[str, Any]:
    """What a server of the version before does not know is left out where it says nothing: it could not read the rest."""
    written = asdict(grant)
    for name in ("userinfo_claims", "id_token_claims", "confirmation"):
        if not written["family"][name]:
            del written["family"][name]
    if written["dpop_jkt"] is None:
        del written["dpop_jkt"]
    return written


def _unpack(packed: str) -> CodeGrant:
    found = json.loads(packed)
    family = found.pop("family")
    for name, value in family.items():
        if isinstance(value, list):
            family[name] = tuple(value)
    if "confirmation" in family:
        family["confirmation"] = Confirmation(**family["confirmation"])
    return CodeGrant(family=Family(**family), **found)
