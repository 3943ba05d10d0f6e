"""Mutual TLS behind a proxy (RFC 8705; A60): clients known by their certificate, and tokens bound to one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import jwt
import pytest
from browser import CALLBACK, Flow, agreed, answer_of, submit, to_login
from certificates import Holder
from httpx2 import Response
from issuer_in_process import Issuer, granted, refusal

from identity.administration.errors import AdministrationError
from identity.oauth.registration.new_client import NewClient
from identity.settings import ConfigurationError, load_settings

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
INVALID = (401, "invalid_client")
HEADER = "Client-Cert"
SHOP = Holder()


@pytest.fixture
async def behind_proxy(start_issuer: StartIssuer) -> AsyncIterator[Issuer]:
    """The tests' own address is that of the proxy."""
    async with start_issuer(client_certificate_header=HEADER, trusted_proxies="127.0.0.1") as issuer:
        yield issuer


async def registered(issuer: Issuer, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "authentication_method": "tls_client_auth",
        "certificate_subject": SHOP.subject,
        "default_resource": "orders",
        **changes,
    }
    grants = fields.pop("grant_types", ["client_credentials"])
    await issuer.clients.create(NewClient("shop", grants, ["openid", "orders:read"], **fields))
    await issuer.settled()


async def ask(issuer: Issuer, header: str | None, **fields: Any) -> Response:
    data = {"grant_type": "client_credentials", "client_id": "shop", **fields}
    headers = {} if header is None else {HEADER: header}
    return await issuer.http.post("/token", data=data, headers=headers)


async def test_a_client_is_known_by_its_certificate(behind_proxy: Issuer) -> None:
    """RFC 8705 section 2.1: as RFC 9440 and as nginx write it; another certificate of the same name is the same client."""
    await registered(behind_proxy)
    for header in (SHOP.structured, SHOP.escaped, Holder().structured):
        granted(await ask(behind_proxy, header))


@pytest.mark.parametrize(
    "header",
    [None, "", "::", ":AAAA:", "nonsense", Holder("CN=thief").structured, SHOP.structured + ", " + SHOP.structured],
    ids=["none", "empty", "nothing", "no certificate", "nonsense", "another name", "two"],
)
async def test_a31_whoever_has_no_such_certificate_is_nobody(behind_proxy: Issuer, header: str | None) -> None:
    """A35: one answer for all of them; a secret beside it is another method (A30)."""
    await registered(behind_proxy)
    assert refusal(await ask(behind_proxy, header)) == INVALID
    assert refusal(await ask(behind_proxy, SHOP.structured, client_secret="x")) == INVALID


async def test_a60_a_header_from_anybody_but_the_proxy_means_nothing(start_issuer: StartIssuer) -> None:
    async with start_issuer(client_certificate_header=HEADER, trusted_proxies="192.0.2.1") as issuer:
        await registered(issuer)
        assert refusal(await ask(issuer, SHOP.structured)) == INVALID


async def test_a60_without_the_setting_nobody_looks(issuer: Issuer) -> None:
    """A54, P02: nor do the metadata say so."""
    await registered(issuer)
    assert refusal(await ask(issuer, SHOP.structured)) == INVALID
    document = (await issuer.http.get("/.well-known/openid-configuration")).json()
    assert "tls_client_auth" not in document["token_endpoint_auth_methods_supported"]
    assert document["tls_client_certificate_bound_access_tokens"] is False


async def test_metadata_says_that_certificates_count(behind_proxy: Issuer) -> None:
    document = (await behind_proxy.http.get("/.well-known/openid-configuration")).json()
    assert "tls_client_auth" in document["token_endpoint_auth_methods_supported"]
    assert document["tls_client_certificate_bound_access_tokens"] is True


async def test_v13_a_token_is_bound_to_the_certificate_of_the_connection(behind_proxy: Issuer) -> None:
    """RFC 8705 section 3: and only for clients that registered so. Without a certificate, such a client gets nothing."""
    await registered(behind_proxy, certificate_bound_access_tokens=True)
    token = granted(await ask(behind_proxy, SHOP.structured))["access_token"]
    assert jwt.decode(token, options={"verify_signature": False})["cnf"] == {"x5t#S256": SHOP.thumbprint}
    plain = await behind_proxy.http.post(
        "/token",
        data={"grant_type": "password", "username": "alice", "password": "wonderland"},
        headers={HEADER: SHOP.structured},
    )
    assert "cnf" not in jwt.decode(granted(plain)["access_token"], options={"verify_signature": False})


async def test_v13_a_public_clients_session_is_bound_too(behind_proxy: Issuer) -> None:
    """RFC 8705 section 4: its refresh token, and UserInfo, are for who holds the certificate."""
    issuer, flow = behind_proxy, Flow()
    await registered(
        issuer,
        authentication_method="none",
        certificate_subject="",
        grant_types=["authorization_code", "refresh_token"],
        redirect_uris=[CALLBACK],
        certificate_bound_access_tokens=True,
    )
    page = await to_login(issuer, flow, client_id="shop", scope="openid orders:read")
    code = answer_of(await agreed(issuer, await submit(issuer, page)))["code"]
    fields = {"code": code, "code_verifier": flow.verifier, "redirect_uri": CALLBACK}
    assert refusal(await ask(issuer, None, grant_type="authorization_code", **fields)) == (400, "invalid_request")
    tokens = granted(await ask(issuer, SHOP.structured, grant_type="authorization_code", **fields))

    async def told(header: str | None) -> int:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"} | ({HEADER: header} if header else {})
        return (await issuer.http.get("/userinfo", headers=headers)).status_code

    assert [await told(each) for each in (SHOP.structured, None, Holder().structured)] == [200, 401, 401]
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert refusal(await ask(issuer, Holder().structured, **refresh)) == (400, "invalid_grant")
    granted(await ask(issuer, SHOP.structured, **refresh))


@pytest.mark.parametrize("subject", ["shop", "CN=shop, O=Shop", "cn=shop"])
async def test_a_subject_is_registered_as_it_is_compared(issuer: Issuer, subject: str) -> None:
    with pytest.raises(AdministrationError, match="RFC 4514"):
        await registered(issuer, certificate_subject=subject)


def test_a60_a_header_that_anybody_could_write_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings({"IDENTITY_ISSUER": "https://a.example", "IDENTITY_CLIENT_CERTIFICATE_HEADER": HEADER})
    assert any("IDENTITY_CLIENT_CERTIFICATE_HEADER: needs IDENTITY_TRUSTED" in each for each in refused.value.problems)
