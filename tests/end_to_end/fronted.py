"""A server that verifiers know by the address of a proxy only, and what they need to follow it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from faulty_proxy import Remote, standing_between
from production import log_in
from wire import Wire

from identity.verifier import Credential, Verifier

TOKENS = 50


@dataclass(frozen=True)
class Fronted:
    """`port` is the server's own, past the proxy. Its keys may be cached for a second, unless the proxy says more."""

    proxy_port: int
    port: int
    secret: str = field(repr=False)
    tokens: list[str] = field(repr=False)

    @property
    def direct(self) -> str:
        """The server's own address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def credential(self) -> Credential:
        """With which the feed may be read."""
        return Credential("watcher", self.secret)

    def proxy(self) -> AbstractAsyncContextManager[Remote]:
        """Puts the proxy in front, with nothing broken."""
        return standing_between(self.proxy_port, self.port)


async def tokens_of_one_login(port: int) -> list[str]:
    """Returns good tokens, each different."""
    wire, found = Wire(f"http://127.0.0.1:{port}"), []
    answer = (await log_in(wire)).json()
    for _ in range(TOKENS):
        found.append(answer["access_token"])
        refresh = {"client_id": "web", "refresh_token": answer["refresh_token"]}
        answer = (await wire.form("/token", grant_type="refresh_token", **refresh)).json()
    await wire.close()
    return found


class Seen:
    """Counts what the verifier tells."""

    def __init__(self) -> None:
        self.fetches: Counter[bool] = Counter()
        self.verdicts: Counter[str] = Counter()

    def accepted(self, *, stale: bool) -> None:
        self.verdicts["accepted, the feed stale" if stale else "accepted"] += 1

    def refused(self, code: str) -> None:
        self.verdicts[code] += 1

    def keys_fetched(self, *, failed: bool) -> None:
        self.fetches[failed] += 1

    def feed_polled(self, *, failed: bool) -> None: ...

    def introspected(self, *, failed: bool) -> None: ...

    async def until(self, *, failed: bool, more: int = 1) -> None:
        """Returns after so many more fetches of this end."""
        wanted = self.fetches[failed] + more
        async with asyncio.timeout(30 * more):
            while self.fetches[failed] < wanted:
                await asyncio.sleep(0.01)


async def verdict(verifier: Verifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except Exception as error:
        return f"{type(error).__name__} {error}"
    return "accepted"
