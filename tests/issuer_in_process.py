"""A whole server in this process, spoken to over HTTP: its own SQLite, its own Redis, keys and demo made once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from identity.accounts.passwords import Passwords
from identity.administration.api_keys import ApiKeys
from identity.administration.clients import Clients
from identity.administration.demo import DemoNotes
from identity.administration.invitations import Invitations
from identity.administration.keys import SigningKeys
from identity.administration.people import People
from identity.administration.resources import ResourceServices
from identity.administration.roles import Roles
from identity.app import create_app
from identity.keyring.live import LiveKeys
from identity.keyring.signers import Signer
from identity.settings import Settings
from identity.verifier.profile import API_KEY_GRANT
from identity.wiring.parts import Stores, signing_keys

ISSUER = "http://127.0.0.1:8000"
ORDERS = "http://127.0.0.1:8001"
NOTES = DemoNotes(ORDERS, "secret-of-the-demo-service", "secret-of-the-orders-resource")
SERVICE = ("demo-service", NOTES.client_secret)
RESOURCE = ("orders", NOTES.resource_secret)
PASSWORDS = {"alice": "wonderland", "bob": "builder"}


def dev_settings(folder: Path, **changes: Any) -> Settings:
    """Settings as `identity dev` has them, on a folder that holds `identity.sqlite3` and `keys/`."""
    values: dict[str, Any] = {
        "mode": "dev",
        "issuer": ISSUER,
        "database_url": f"sqlite:///{folder / 'identity.sqlite3'}",
        "redis_url": "fakeredis://",
        "keys_dir": folder / "keys",
        "data_dir": folder,
        "default_client": "demo",
        "password_threads": 2,
    }
    return Settings(**{**values, **changes})


@dataclass
class Issuer:
    """A running server, and an operator beside it who has connections of their own."""

    app: FastAPI
    http: AsyncClient
    settings: Settings
    stores: Stores

    @cached_property
    def people(self) -> People:
        return People(self.stores.ledger, Passwords(1), "test")

    @property
    def clients(self) -> Clients:
        return Clients(self.stores.ledger, "test")

    @property
    def invitations(self) -> Invitations:
        return Invitations(self.stores.ledger, "test")

    @property
    def api_keys(self) -> ApiKeys:
        return ApiKeys(self.stores.ledger, "test")

    @property
    def resources(self) -> ResourceServices:
        return ResourceServices(self.stores.ledger, "test")

    @property
    def roles(self) -> Roles:
        return Roles(self.stores.ledger, "test")

    @property
    def keys(self) -> SigningKeys:
        return signing_keys(self.settings, self.stores)

    @property
    def signer(self) -> Signer:
        """What the running server signs with."""
        live: LiveKeys = self.app.state.keys
        return live.now.signer

    async def settled(self) -> int:
        """Returns once the server has seen every rule that is committed now; the number of the last."""
        seq = (await self.stores.journal.head()).seq
        follower = self.app.state.follower
        async with asyncio.timeout(5):
            while follower.picture.head.seq < seq:
                await follower.wait_beyond(follower.picture.head, 1)
        return seq

    async def token(self, grant_type: str, auth: tuple[str, str] | None = None, **fields: Any) -> Response:
        data = {"grant_type": grant_type, **fields}
        return await self.http.post("/token", data=data, auth=auth)

    async def login(self, username: str = "alice", password: str | None = None, **fields: Any) -> Response:
        password = PASSWORDS.get(username, "") if password is None else password
        return await self.token("password", username=username, password=password, **fields)

    async def service_token(self, **fields: Any) -> Response:
        return await self.token("client_credentials", SERVICE, **fields)

    async def refresh(self, refresh_token: str, **fields: Any) -> Response:
        return await self.token("refresh_token", refresh_token=refresh_token, **fields)

    async def exchange(self, api_key: str, **fields: Any) -> Response:
        return await self.token(API_KEY_GRANT, api_key=api_key, **fields)

    async def revoke(self, token: str, auth: tuple[str, str] | None = None, **fields: Any) -> Response:
        return await self.http.post("/revoke", data={"token": token, **fields}, auth=auth)

    async def feed(self, auth: tuple[str, str] | None = RESOURCE, **params: Any) -> Response:
        return await self.http.get("/revocations", params=params, auth=auth)

    async def rules(self) -> list[list[Any]]:
        """Every rule a verifier that starts now would get."""
        await self.settled()
        found: list[list[Any]] = (await self.feed()).json()["rules"]
        return found

    async def claims(self, access_token: str, audience: str = ORDERS) -> dict[str, Any]:
        """The claims of a token that a stranger to our code, PyJWT, accepts with nothing but the served documents."""
        jwks = jwt.PyJWKSet.from_dict((await self.http.get("/.well-known/jwks.json")).json())
        key = jwks[jwt.get_unverified_header(access_token)["kid"]]
        return jwt.decode(access_token, key, ["RS256"], audience=audience, issuer=self.settings.issuer)


@asynccontextmanager
async def running(settings: Settings, peer: str = "127.0.0.1") -> AsyncIterator[Issuer]:
    """Starts the server, and stops it."""
    app = create_app(settings)
    transport = ASGITransport(app=app, client=(peer, 40000))
    origin = urlsplit(settings.issuer)._replace(path="").geturl()
    async with app.router.lifespan_context(app), AsyncClient(transport=transport, base_url=origin) as http:
        issuer = Issuer(app, http, settings, Stores.of(settings))
        for _ in range(
            30
        ):  # While redis-py connects it cannot be cancelled, and a short test would wait for it to stop.
            await asyncio.sleep(0)
        try:
            yield issuer
        finally:
            await issuer.stores.close()


def refusal(response: Response) -> tuple[int, str]:
    """Status and code of a protocol error, whose form is checked: RFC 6749 JSON that nobody may store."""
    assert response.headers["content-type"] == "application/json", response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    body = response.json()
    assert set(body) == {"error", "error_description"}
    assert body["error_description"].isascii()
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    if body["error"] == "invalid_client":
        assert response.headers["www-authenticate"] == 'Basic realm="identity", charset="UTF-8"'
    return response.status_code, body["error"]


def granted(response: Response, token_type: str = "Bearer") -> dict[str, Any]:
    """The members of a token response, which nobody may store."""
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    body: dict[str, Any] = response.json()
    assert body["token_type"] == token_type
    return body
