"""Clients that we did not write sign somebody in, with nothing but the address of the issuer (issue: every standard library).

Authlib and requests-oauthlib, each through discovery, PKCE, the ID token, UserInfo, a refresh and signing out (must show 1).
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from oauthlib.oauth2 import WebApplicationClient
from person import AFTER, CALLBACK, SCOPE, Person
from requests_oauthlib import OAuth2Session

CLIENT = "demo-web"


@pytest.fixture
def documents(dev, monkeypatch) -> dict[str, Any]:
    """What discovery says."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # On loopback the issuer is http.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    found: dict[str, Any] = requests.get(f"{dev.issuer}/.well-known/openid-configuration", timeout=10).json()
    assert found["issuer"] == dev.issuer
    return found


def claims_of(documents: dict[str, Any], id_token: str, nonce: str | None) -> dict[str, Any]:
    """The claims of an ID token that joserfc accepts (OpenID Connect Core section 3.1.3.7)."""
    keys = KeySet.import_key_set(requests.get(documents["jwks_uri"], timeout=10).json())
    token = jwt.decode(id_token, keys, algorithms=documents["id_token_signing_alg_values_supported"])
    wanted: dict[str, Any] = {"iss": documents["issuer"], "aud": CLIENT, **({"nonce": nonce} if nonce else {})}
    rules = {name: {"essential": True, "value": value} for name, value in wanted.items()}
    jwt.JWTClaimsRegistry(leeway=30, sub={"essential": True}, exp={"essential": True}, **rules).validate(token.claims)
    return token.claims


def sign_out(person: Person, documents: dict[str, Any], id_token: str) -> None:
    query = {"id_token_hint": id_token, "post_logout_redirect_uri": AFTER, "state": "bye"}
    back = person.follow(requests.Request("GET", documents["end_session_endpoint"], params=query).prepare().url or "")
    assert back == f"{AFTER}?state=bye"


def test_authlib_signs_a_person_in_and_out(dev, documents):
    person, verifier = Person(dev.issuer), "v" * 48
    client = AuthlibSession(
        CLIENT, scope=SCOPE, redirect_uri=CALLBACK, code_challenge_method="S256", token_endpoint_auth_method="none"
    )
    url, state = client.create_authorization_url(
        documents["authorization_endpoint"], code_verifier=verifier, nonce="n1"
    )
    back = person.follow(url)
    assert parse_qs(urlsplit(back).query)["iss"] == [dev.issuer]
    tokens = client.fetch_token(
        documents["token_endpoint"], authorization_response=back, code_verifier=verifier, state=state
    )
    claims = claims_of(documents, tokens["id_token"], "n1")
    told = client.get(documents["userinfo_endpoint"]).json()
    assert (told["sub"], told["email"]) == (claims["sub"], "alice@example.com")
    again = client.refresh_token(documents["token_endpoint"], refresh_token=tokens["refresh_token"])
    assert claims_of(documents, again["id_token"], None)["auth_time"] == claims["auth_time"]
    assert client.revoke_token(documents["revocation_endpoint"], again["refresh_token"]).status_code == 200
    assert client.get(documents["userinfo_endpoint"]).status_code == 401
    sign_out(person, documents, tokens["id_token"])


def test_authlib_proves_itself_with_a_key(dev, documents, run_command, tmp_path):
    """A33: left alone, it makes assertions for the token endpoint, and for an hour, which is too long; it can be told."""
    key = RSAKey.generate_key(2048, {"use": "sig"})
    metadata = {
        "grant_types": ["client_credentials"],
        "scope": "orders:read",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key.as_dict(private=False)]},
    }
    (tmp_path / "robot.json").write_text(json.dumps(metadata))
    run_command("clients", "create", "robot", "--metadata", str(tmp_path / "robot.json"))
    client = AuthlibSession("robot", key, token_endpoint_auth_method="private_key_jwt")
    client.register_client_auth_method(PrivateKeyJWT(documents["token_endpoint"]))
    with pytest.raises(OAuthError, match="invalid_client"):
        client.fetch_token(documents["token_endpoint"], grant_type="client_credentials")
    told = {"aud": dev.issuer, "exp": int(time.time()) + 60}
    client.register_client_auth_method(PrivateKeyJWT(documents["token_endpoint"], claims=told))
    token = client.fetch_token(documents["token_endpoint"], grant_type="client_credentials", scope="orders:read")
    assert client.get(f"{dev.orders}/me").json()["is_client"] is True
    assert token["scope"] == "orders:read"


def test_requests_oauthlib_signs_a_person_in_and_out(dev, documents):
    person = Person(dev.issuer)
    client = OAuth2Session(client=WebApplicationClient(CLIENT), scope=SCOPE.split(), redirect_uri=CALLBACK, pkce="S256")
    url, _ = client.authorization_url(documents["authorization_endpoint"], nonce="n2")
    back = person.follow(url)
    tokens = client.fetch_token(documents["token_endpoint"], authorization_response=back, include_client_id=True)
    claims = claims_of(documents, tokens["id_token"], "n2")
    told = client.get(documents["userinfo_endpoint"]).json()
    assert (told["sub"], told["name"]) == (claims["sub"], "Alice")
    again = client.refresh_token(documents["token_endpoint"], client_id=CLIENT)
    assert again["refresh_token"] != tokens["refresh_token"]
    sign_out(person, documents, tokens["id_token"])
    refused = requests.post(
        documents["token_endpoint"],
        {"grant_type": "refresh_token", "refresh_token": again["refresh_token"], "client_id": CLIENT},
        timeout=10,
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
