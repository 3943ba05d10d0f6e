"""A server that verifiers know by the address of a proxy only, and what they need to follow it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from faulty_proxy import Remote, standing_between
from production import log_in
from wire import Wire

from identity.verifier import Credential

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
