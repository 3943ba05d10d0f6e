"""The two kinds of server at which people sign in, and what a browser needs to know of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.flow_load import CALLBACK
from benchmarks.identity_server import IdentityServer
from benchmarks.light_hashing import LIGHT
from benchmarks.peer import Peer
from benchmarks.processes import Load, Server, finish_load, start_load
from identity.feed.rules import Rule
from identity.models import User, UserRole
from identity.oauth.registration.new_client import NewClient
from identity.verifier.profile import RuleKind
from identity.wiring.parts import Stores

OPENID, PLAIN = "openid orders:read", "orders:read"

_BROWSERS = 50
_SESSIONS = 200
_UNTIL_NOTHING_IS_LEFT = 90.0
_PASSWORD = "wonderland"


@dataclass(slots=True)
class Site:
    """A server with `clients` apps. `sessions` are the cookies of people who signed in there."""

    server: Server
    authorize: str
    clients: int
    versions: str = ""
    sessions: list[str] = field(default_factory=list)

    def sign_in(self, seconds: float, username: str) -> Load:
        """Has 50 people at a time sign in, each at a new browser; some of them are remembered in `sessions`."""
        load = self._load(seconds, kind="sign_in", person={"username": username, "password": _PASSWORD})
        self.sessions = (self.sessions + load.tokens)[:_SESSIONS]
        return load

    def flow(self, seconds: float) -> Load:
        """Has 50 browsers at a time, of those that have a session, go through the whole flow."""
        return self._load(seconds, kind="session", tokens=self.sessions)

    def codes(self, count: int, scope: str, in_turn: bool = False) -> Load:
        """Has `count` codes issued, for any client or for all in turn; they are the tokens of the load."""
        spec = {"limit": count, "in_turn": in_turn, "scope": scope, "tokens": self.sessions}
        return self._load(_UNTIL_NOTHING_IS_LEFT, kind="authorize", **spec)

    def redeem(self, codes: Load, scope: str) -> Load:
        """Redeems them."""
        return self._load(_UNTIL_NOTHING_IS_LEFT, kind="redeem", tokens=codes.tokens, scope=scope)

    def _load(self, seconds: float, **spec: Any) -> Load:
        before = self.server.cpu
        where = {"authorize": self.authorize, "token": "/token", "clients": self.clients, "scope": OPENID}
        whole = {**where, "connections": _BROWSERS, **spec}
        generator = start_load(self.server, seconds, "benchmarks.flow_load", **whole)
        return finish_load(generator, self.server, before)


def site(server: Server, clients: int) -> Site:
    """Ours."""
    return Site(server, "/authorize", clients)


def peer_site(identity: IdentityServer, port: int, clients: int) -> Site:
    """An oidc-provider on the Valkey of `identity`; see `Peer` for what it raises."""
    peer = Peer(identity, port, clients=clients)
    return Site(peer.server, "/auth", clients, peer.versions)


def register(identity: IdentityServer, clients: int) -> None:
    """Registers this many apps of the house, and somebody whose password is hashed lightly."""

    async def write(stores: Stores) -> None:
        quick = User(subject="quick", username="quick", username_key="quick", password_hash=LIGHT.hash(_PASSWORD))
        async with stores.ledger.change() as change:
            change.registrations.add(quick, *(_app(number).row(_app(number).scopes, None) for number in range(clients)))
            await change.registrations.flush()
            change.registrations.add(UserRole(subject=quick.subject, role="reader"))
            change.revoke(Rule.changed(RuleKind.SUBJECT, quick.subject))

    identity.with_stores(write)


def _app(number: int) -> NewClient:
    return NewClient(
        client_id=f"shop-{number}",
        grant_types=("authorization_code", "refresh_token"),
        scopes=OPENID.split(" "),
        authentication_method="none",
        default_resource="orders",
        redirect_uris=(CALLBACK,),
        is_trusted=True,
    )
