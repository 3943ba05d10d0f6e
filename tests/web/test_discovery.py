"""What is public: the metadata, the keys, health, the description of the API; and which web pages may read what."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from issuer_in_process import ISSUER, ORDERS, Issuer, granted, refusal
from sqlalchemy import text

from identity.app import create_app
from identity.settings import Settings
from identity.verifier.profile import API_KEY_GRANT

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]
DOCUMENTS = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
JWKS = "/.well-known/jwks.json"


async def test_both_metadata_documents_are_the_same_and_cacheable(issuer: Issuer) -> None:
    """A54."""
    first, second = [await issuer.http.get(path) for path in DOCUMENTS]
    assert first.status_code == second.status_code == 200
    assert first.headers["content-type"] == "application/json"
    assert first.headers["cache-control"] == "public, max-age=300"
    assert first.content == second.content


_OWN = {"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"}
_PROFILE = {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture"}
_MORE = {"website", "gender", "birthdate", "zoneinfo", "locale", "updated_at", "address"}
_REACH = {"email", "email_verified", "phone_number", "phone_number_verified"}
_SIGNED = ["ES256", "PS256", "RS256", "EdDSA", "Ed25519"]
_METHODS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
_CLAIMS = _OWN | _PROFILE | _MORE | _REACH


async def test_the_metadata_says_only_what_is_true(issuer: Issuer) -> None:
    """A54, P02: each endpoint answers, each grant is known, and nothing else is claimed."""
    document = (await issuer.http.get(DOCUMENTS[0])).json()
    assert document == {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "pushed_authorization_request_endpoint": f"{ISSUER}/par",
        "token_endpoint": f"{ISSUER}/token",
        "userinfo_endpoint": f"{ISSUER}/userinfo",
        "end_session_endpoint": f"{ISSUER}/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "revocation_endpoint": f"{ISSUER}/revoke",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "jwks_uri": f"{ISSUER}/.well-known/jwks.json",
        "revocation_feed_endpoint": f"{ISSUER}/revocations",
        "grant_types_supported": [
            "authorization_code",
            "password",
            "refresh_token",
            "client_credentials",
            API_KEY_GRANT,
        ],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "userinfo_signing_alg_values_supported": ["RS256"],
        "dpop_signing_alg_values_supported": ["ES256", "PS256", "RS256", "EdDSA", "Ed25519"],
        "claims_supported": sorted(_CLAIMS),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": True,
        "acr_values_supported": ["urn:identity:acr:1fa"],
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": _SIGNED,
        "require_signed_request_object": False,
        "require_pushed_authorization_requests": False,
        "request_uri_parameter_supported": False,
        "scopes_supported": [
            "address",
            "email",
            "offline_access",
            "openid",
            "orders:read",
            "orders:write",
            "phone",
            "profile",
            "roles",
        ],
        "tls_client_certificate_bound_access_tokens": False,
        "token_endpoint_auth_methods_supported": _METHODS,
        "token_endpoint_auth_signing_alg_values_supported": _SIGNED,
        "revocation_endpoint_auth_methods_supported": _METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": _SIGNED,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
        assert refusal(await issuer.http.get(document[name])) == (405, "invalid_request")
    assert (await issuer.http.get(document["jwks_uri"])).status_code == 200
    assert refusal(await issuer.http.get(document["revocation_feed_endpoint"])) == (401, "invalid_client")
    for grant_type in document["grant_types_supported"]:
        assert refusal(await issuer.token(grant_type))[1] != "unsupported_grant_type"


async def test_a_new_resource_s_scopes_stand_in_the_metadata(issuer: Issuer) -> None:
    """A54."""
    await issuer.http.get(DOCUMENTS[0])
    await issuer.resources.create("bills", "https://bills.example", ["bills:read"])
    await issuer.settled()
    assert "bills:read" in (await issuer.http.get(DOCUMENTS[0])).json()["scopes_supported"]


async def test_an_issuer_with_a_path_has_its_documents_where_the_specifications_say(start_issuer: StartIssuer) -> None:
    """A54: RFC 8414 inserts the well-known part before the path, OpenID Connect Discovery appends it."""
    issuer_url = ISSUER + "/tenants/one"
    async with start_issuer(issuer=issuer_url) as issuer:
        inserted = await issuer.http.get("/.well-known/oauth-authorization-server/tenants/one")
        appended = await issuer.http.get("/tenants/one/.well-known/openid-configuration")
        assert inserted.status_code == appended.status_code == 200
        document = inserted.json()
        assert appended.json() == document
        assert document["issuer"] == issuer_url
        assert (await issuer.http.get(document["jwks_uri"])).status_code == 200
        form = {"grant_type": "password", "username": "alice", "password": "wonderland"}
        granted(await issuer.http.post(document["token_endpoint"], data=form))
        for path in (*DOCUMENTS, "/token", JWKS):
            assert (await issuer.http.get(path)).status_code == 404


async def test_the_key_set_shows_public_members_only(issuer: Issuer) -> None:
    """K03, K04, K05: the current and the next key, each for one algorithm."""
    response = await issuer.http.get(JWKS)
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert set(document) == {"keys"}
    assert len(document["keys"]) == 2
    for key in document["keys"]:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
        assert (key["kty"], key["e"], key["use"], key["alg"]) == ("RSA", "AQAB", "sig", "RS256")


async def test_the_key_set_may_be_cached_as_long_as_the_setting_says(start_issuer: StartIssuer) -> None:
    """K03: with the time that K01 counts on."""
    async with start_issuer() as issuer:
        assert (await issuer.http.get(JWKS)).headers["cache-control"] == "public, max-age=300"
    async with start_issuer(jwks_max_age=42) as issuer:
        assert (await issuer.http.get(JWKS)).headers["cache-control"] == "public, max-age=42"


@pytest.mark.parametrize("form", ["{etag}", "W/{etag}", '"other", {etag}', '"other",W/{etag}', "*"])
async def test_a_key_set_that_is_known_is_not_sent_again(issuer: Issuer, form: str) -> None:
    """K03, RFC 9110 section 13.1.2: compared weakly, because proxies that compress weaken the tag."""
    etag = (await issuer.http.get(JWKS)).headers["etag"]
    response = await issuer.http.get(JWKS, headers={"If-None-Match": form.format(etag=etag)})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag
    assert response.headers["cache-control"] == "public, max-age=300"


async def test_a_key_set_that_is_not_known_is_sent(issuer: Issuer) -> None:
    """K03."""
    etag = (await issuer.http.get(JWKS)).headers["etag"]
    for known in ('"other"', etag.strip('"'), etag[:-2] + '"', ""):
        assert (await issuer.http.get(JWKS, headers={"If-None-Match": known})).status_code == 200


async def test_health_is_not_cached(issuer: Issuer) -> None:
    """DESIGN 4."""
    for path, status in (("/health/live", "live"), ("/health/ready", "ready")):
        response = await issuer.http.get(path)
        assert (response.status_code, response.json()) == (200, {"status": status})
        assert response.headers["cache-control"] == "no-store"


HOSTS = ["evil.example", "evil.example/token?", "a b", "[::1", "x@y", "", "127.0.0.1:8000:99", "evil.example#", "\x7f"]


@pytest.mark.parametrize("host", HOSTS)
async def test_the_host_header_changes_nothing(issuer: Issuer, host: str) -> None:
    """A60, CVE-2026-48710: the issuer is configuration."""
    poisoned = {"Host": host, "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    for path in (*DOCUMENTS, JWKS, "/health/ready", "/openapi.json"):
        usual, asked = await issuer.http.get(path), await issuer.http.get(path, headers=poisoned)
        assert (asked.status_code, asked.content) == (usual.status_code, usual.content)
    form = {"grant_type": "password", "username": "alice", "password": "wonderland"}
    body = granted(await issuer.http.post("/token", data=form, headers=poisoned))
    assert (await issuer.claims(body["access_token"]))["iss"] == ISSUER
    wrong = await issuer.http.post("/token", data={**form, "password": "x"}, headers=poisoned)
    assert refusal(wrong) == (400, "invalid_grant")


# --- CORS ------------------------------------------------------------------------------------------------------------


def cors(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("path", [*DOCUMENTS, JWKS])
@pytest.mark.parametrize("origin", [None, "https://anyone.example", "null"])
async def test_any_page_may_read_the_public_documents(issuer: Issuer, path: str, origin: str | None) -> None:
    """A59: the same answer whether an origin asks or not, for a shared cache may keep the one for the other."""
    response = await issuer.http.get(path, headers={"Origin": origin} if origin else {})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/token", "/revoke"])
async def test_pages_of_registered_origins_may_call_the_client_endpoints(issuer: Issuer, path: str) -> None:
    """A59: errors too, or the page could not tell what is wrong."""
    response = await issuer.http.post(path, data={"token": "x", "grant_type": "x"}, headers={"Origin": ORDERS})
    assert response.headers["access-control-allow-origin"] == ORDERS
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers
    ask = {"Origin": ORDERS, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = await issuer.http.options(path, headers=ask)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-origin"] == ORDERS
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in preflight.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", ORDERS + "/", ORDERS.upper(), ORDERS + ".evil", "*"]
)
@pytest.mark.parametrize("path", ["/token", "/revoke"])
async def test_pages_of_other_origins_may_not(issuer: Issuer, path: str, origin: str) -> None:
    """A59."""
    assert cors(await issuer.http.post(path, data={"grant_type": "x"}, headers={"Origin": origin})) == {}
    ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = await issuer.http.options(path, headers=ask)
    assert cors(preflight) == {}
    assert preflight.status_code == 405


@pytest.mark.parametrize("path", ["/revocations", "/health/ready", "/docs", "/nothing"])
async def test_no_page_may_read_anything_else(issuer: Issuer, path: str) -> None:
    """A59."""
    assert cors(await issuer.http.get(path, headers={"Origin": ORDERS})) == {}


async def test_a_newly_allowed_origin_may_call_at_once_and_a_disabled_client_s_no_more(issuer: Issuer) -> None:
    """A59."""
    app = {"Origin": "https://app.example"}
    assert cors(await issuer.http.post("/token", data={"a": "b"}, headers=app)) == {}
    await issuer.clients.allow_origin("demo", "https://app.example")
    await issuer.settled()
    assert cors(await issuer.http.post("/token", data={"a": "b"}, headers=app))
    await issuer.clients.disable("demo")
    await issuer.settled()
    assert cors(await issuer.http.post("/token", data={"a": "b"}, headers=app)) == {}


# --- A database that goes away ---------------------------------------------------------------------------------------


async def take_database_away(issuer: Issuer) -> None:
    """From now on SQLite answers every statement with an operational error."""
    async with issuer.stores.database.transaction() as session:
        await session.execute(text("PRAGMA defer_foreign_keys = ON"))
        for table in ("user_role", "user_account", "client", "resource", "role", "feed_head", "revocation_rule"):
            await session.execute(text(f"DROP TABLE {table}"))


async def test_without_a_database_nothing_is_issued_but_keys_and_metadata_are_served(
    issuer: Issuer,
) -> None:
    """F08, I5: also on a server that had not been asked for them before."""
    await take_database_away(issuer)
    assert refusal(await issuer.login()) == (503, "temporarily_unavailable")
    assert refusal(await issuer.service_token()) == (503, "temporarily_unavailable")
    assert refusal(await issuer.revoke("x")) == (503, "temporarily_unavailable")
    assert (await issuer.http.get(JWKS)).status_code == 200
    for path in DOCUMENTS:
        response = await issuer.http.get(path)
        assert response.status_code == 200
        assert response.json()["token_endpoint"] == f"{ISSUER}/token"


async def test_without_a_database_a_call_from_a_page_is_503_too(issuer: Issuer) -> None:
    """F08, I6: asking which origins are registered must not become a 500."""
    await take_database_away(issuer)
    form = {"grant_type": "password", "username": "alice", "password": "wonderland"}
    response = await issuer.http.post("/token", data=form, headers={"Origin": ORDERS})
    assert refusal(response) == (503, "temporarily_unavailable")


# --- The description -------------------------------------------------------------------------------------------------


async def test_the_api_description_tells_of_every_protocol_endpoint(issuer: Issuer) -> None:
    """DESIGN 11: parsed by hand, and described all the same."""
    document = (await issuer.http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) >= {"/token", "/revoke", "/revocations", *DOCUMENTS, JWKS}
    token = document["paths"]["/token"]["post"]
    schema = token["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    credentials = {"username", "password", "refresh_token", "api_key", "client_id", "client_secret"}
    code = {"code", "code_verifier", "redirect_uri"}
    assert set(schema["properties"]) == {"grant_type", "scope", "resource", *credentials, *code}
    assert schema["required"] == ["grant_type"]
    assert set(token["responses"]) >= {"200", "400", "401", "503"}


async def test_the_pages_that_show_it_answer(issuer: Issuer) -> None:
    """DESIGN 2."""
    response = await issuer.http.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in response.text


def test_no_page_with_scripts_from_elsewhere_is_served_in_production(settings_of: Callable[..., Settings]) -> None:
    """Whoever controls the content network would otherwise run on the issuer's origin."""
    serving = settings_of(mode="serve", redis_url="redis://127.0.0.1:1")
    assert not {"/docs", "/redoc"} & {getattr(route, "path", "") for route in create_app(serving).routes}
