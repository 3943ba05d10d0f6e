"""A small relying party on loopback: it takes logout tokens and believes them only as a stranger's library does (joserfc)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import KeySet
from strangers import Stranger, says, stranger

EVENT = "http://schemas.openid.net/event/backchannel-logout"
PATH = "/where?what=1"


@dataclass
class RelyingParty:
    """`statuses` are what it answers, the last one for ever; with `is_hanging` it answers nothing."""

    statuses: list[int] = field(default_factory=lambda: [200])
    is_hanging: bool = False
    knocks: Stranger = field(default_factory=Stranger)

    @property
    def tokens(self) -> list[str]:
        """Every logout token that came, in order."""
        found = []
        for request in self.knocks.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            assert head.startswith(f"POST {PATH} HTTP/1.1".encode())
            fields = parse_qs(body.decode(), strict_parsing=True)
            assert set(fields) == {"logout_token"}
            found += fields["logout_token"]
        return found

    async def hears(self, count: int = 1, seconds: float = 20) -> list[str]:
        """The tokens, once so many came."""
        async with asyncio.timeout(seconds):
            while len(self.tokens) < count:
                await asyncio.sleep(0.02)
        return self.tokens

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        if self.is_hanging:
            await asyncio.sleep(60)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        await says(b"", status)(writer)


@asynccontextmanager
async def relying_party(*statuses: int, **serving: Any) -> AsyncIterator[RelyingParty]:
    """Listens until the block ends."""
    party = RelyingParty(list(statuses) or [200])
    async with stranger(party.answer, **serving) as party.knocks:
        yield party


def claims_of(
    token: str, jwks: dict[str, Any], issuer: str, client_id: str, algorithm: str = "RS256"
) -> dict[str, Any]:
    """What a logout token says, after every check of OpenID Connect Back-Channel Logout 1.0 section 2.6."""
    decoded = jwt.decode(token, KeySet.import_key_set(jwks), algorithms=[algorithm])
    assert decoded.header["typ"] == "logout+jwt"
    claims, now = decoded.claims, time.time()
    assert (claims["iss"], claims["aud"]) == (issuer, client_id)
    assert claims["iat"] - 1 <= now < claims["exp"]
    assert claims["iat"] < claims["exp"] <= claims["iat"] + 120
    assert claims["events"] == {EVENT: {}}
    assert "nonce" not in claims
    assert claims["jti"]
    assert claims.get("sub") or claims.get("sid")
    return dict(claims)
