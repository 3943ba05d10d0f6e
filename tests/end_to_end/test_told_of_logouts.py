"""Real servers tell a real relying party, over TLS, that logins ended: whoever is killed or away in between (A58, I2)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from browser import CALLBACK, Flow, redeem, sign_in
from dev_process import free_ports
from httpx2 import AsyncClient, Response
from logout_hearer import PATH, RelyingParty, claims_of, relying_party
from production import PASSWORD, Production
from strangers import certificate

CLIENT = "shop"


@dataclass
class Served:
    """A running server, as far as a browser and a client speak to it."""

    http: AsyncClient

    async def token(self, grant_type: str, **fields: Any) -> Response:
        return await self.http.post("/token", data={"grant_type": grant_type, **fields})


@dataclass
class Site:
    """An installation, and the certificate and port of the client that is to be told."""

    production: Production
    certificate: Path
    party_port: int

    @asynccontextmanager
    async def party(self) -> AsyncIterator[RelyingParty]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certificate)
        async with relying_party(tls=tls, port=self.party_port) as party:
            yield party

    async def command(self, *arguments: str) -> None:
        ran = await asyncio.to_thread(self.production.command, *arguments)
        assert ran.returncode == 0, ran.stderr

    async def serve(self, port: int = 0) -> Any:
        return await asyncio.to_thread(self.production.serve, port=port)

    @asynccontextmanager
    async def browser(self, port: int = 0) -> AsyncIterator[Served]:
        async with AsyncClient(base_url=f"http://127.0.0.1:{port or self.production.port}", timeout=30) as http:
            yield Served(http)

    async def sign_in(self) -> dict[str, Any]:
        """Somebody signs in to the client, at a browser of their own."""
        async with self.browser() as served:
            flow, asked = Flow(), {"client_id": CLIENT, "scope": "openid orders:read"}
            answer = await sign_in(served, flow, "carol", PASSWORD, **asked)
            told = await redeem(served, flow, answer["code"], client_id=CLIENT)
            assert told.status_code == 200, told.text
            return told.json()

    async def waits(self, tries: int | None) -> None:
        """Returns when what is still to be told was tried so often, or with None, when nothing is."""
        query = "SELECT min(attempts) FROM logout_notice"
        async with asyncio.timeout(30):
            async with await psycopg.AsyncConnection.connect(
                self.production.environment["IDENTITY_DATABASE_URL"], autocommit=True
            ) as connection:
                while await (await connection.execute(query)).fetchone() != (tries,):
                    await asyncio.sleep(0.05)

    async def heard(self, party: RelyingParty, count: int = 1, seconds: float = 40) -> list[dict[str, Any]]:
        """What the client was told, after it looked whether to believe it."""
        tokens = await party.hears(count, seconds)
        issuer = self.production.environment["IDENTITY_ISSUER"]
        async with self.browser() as served:
            jwks = (await served.http.get("/.well-known/jwks.json")).json()
        return [claims_of(token, jwks, issuer, CLIENT) for token in tokens]


@pytest.fixture
def site(prepared: Production, tmp_path: Path) -> Site:
    """The client is registered by a file, and on a private network that the operator opened."""
    (port,) = free_ports(1)
    file = certificate(tmp_path)
    described = {
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid orders:read",
        "token_endpoint_auth_method": "none",
        "backchannel_logout_uri": f"https://127.0.0.1:{port}{PATH}",
    }
    (tmp_path / "shop.json").write_text(json.dumps(described))
    ran = prepared.command("clients", "create", CLIENT, "--trusted", "--metadata", str(tmp_path / "shop.json"))
    assert ran.returncode == 0, ran.stderr
    prepared.environment |= {"IDENTITY_OUTBOUND_ALLOW": "127.0.0.0/8", "SSL_CERT_FILE": str(file)}
    return Site(prepared, file, port)


async def log_out(site: Site, tokens: dict[str, Any]) -> None:
    async with site.browser() as served:
        answer = await served.http.get("/logout", params={"id_token_hint": tokens["id_token"]})
        assert answer.status_code == 200, answer.text


async def test_a58_a_server_that_is_killed_between_commit_and_delivery_loses_nothing(site: Site) -> None:
    """kill -9 while the client has not answered yet; the next one tells it of the same thing."""
    server = await site.serve()
    async with site.party() as party:
        await site.sign_in()
        party.is_hanging = True
        await site.command("revoke", "--user", "carol")
        await party.hears(1)
        server.kill()
        await asyncio.to_thread(server.wait)
        party.is_hanging = False
        await site.serve()
        first, second = await site.heard(party, 2)
        assert (first["jti"], first["sid"]) == (second["jti"], second["sid"])


async def test_a58_what_is_committed_while_no_server_runs_is_told_when_one_does(site: Site) -> None:
    """The operator's command is a process that ends right after the commit."""
    server = await site.serve()
    tokens = await site.sign_in()
    server.kill()
    await asyncio.to_thread(server.wait)
    await site.command("revoke", "--user", "carol")
    async with site.party() as party:
        await site.serve()
        (heard,) = await site.heard(party)
        refused = await refresh(site, tokens)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert heard["sub"]


async def refresh(site: Site, tokens: dict[str, Any]) -> Response:
    async with site.browser() as served:
        return await served.token("refresh_token", client_id=CLIENT, refresh_token=tokens["refresh_token"])


async def test_a58_a_client_that_was_down_hears_when_it_is_back(site: Site) -> None:
    await site.serve()
    await site.sign_in()
    await site.command("revoke", "--user", "carol")
    await site.waits(tries=1)
    async with site.party() as party:
        (heard,) = await site.heard(party)
    assert heard["sid"]


async def test_a58_two_replicas_tell_each_login_once(site: Site) -> None:
    """Both look as soon as the rule is in the feed. Once, while nothing fails: the promise is at least once."""
    (other,) = free_ports(1)
    await site.serve()
    await site.serve(other)
    async with site.party() as party:
        held = [await site.sign_in() for _ in range(5)]
        async with site.browser(other) as served:
            headers = {"Authorization": f"Bearer {held[0]['access_token']}"}
            answer = await served.http.post("/logout/everywhere", headers=headers)
            assert (answer.status_code, answer.json()) == (200, {})
        heard = await site.heard(party, 5)
        await site.waits(tries=None)
        assert len(party.tokens) == 5
    assert len({each["sid"] for each in heard}) == 5
    assert len({each["jti"] for each in heard}) == 5
    for tokens in held:
        assert (await refresh(site, tokens)).status_code == 400
