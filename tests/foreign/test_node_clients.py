"""openid-client and oauth4webapi sign somebody in, refresh, call a service, revoke and sign out (must show 1).

Both libraries check what we answer: metadata, `iss`, `state`, ID tokens with signature and nonce, the subject of UserInfo, and
the form of every error. What they accept is what they were written to accept, not what we meant.
"""

from __future__ import annotations

from typing import Any

import pytest
from dev_process import Dev
from joserfc.jwk import ECKey, RSAKey
from node import Node
from person import AFTER, CALLBACK, SCOPE, Person

pytestmark = pytest.mark.foreign


@pytest.fixture
def flow(dev, node):
    """Runs the whole flow of a script for a client."""

    def run(script: str, client: dict[str, Any], **more: Any) -> dict[str, Any]:
        return sign_in_and_out(dev, node, Person(dev.issuer), script, client, **more)

    return run


def sign_in_and_out(
    dev: Dev, node: Node, person: Person, script: str, client: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """What the script told; what every client is told holds."""
    wanted = {"issuer": dev.issuer, "orders": dev.orders, "redirect_uri": CALLBACK, "after": AFTER, "scope": SCOPE}
    told = node.converse(script, person, **wanted, client=client, **more)
    claims, again, second = told["claims"], told["refreshed"], told["second"]
    assert (claims["iss"], claims["aud"]) == (dev.issuer, client["id"])
    alice = {"name": "Alice", "preferred_username": "alice", "email": "alice@example.com", "email_verified": True}
    assert told["userinfo"] == {"sub": claims["sub"], **alice}
    assert told["called"] == 200
    assert (again["sub"], again["auth_time"]) == (claims["sub"], claims["auth_time"])
    assert (second["sid"], second["auth_time"]) == (claims["sid"], claims["auth_time"]), "nobody logged in again"
    assert told["revoked"] == "invalid_grant"
    assert told["back"] == f"{AFTER}?state=bye"
    assert told["signedOut"] == "invalid_grant"
    assert told["silent"] == "login_required"
    return told


def test_openid_client_as_a_public_client(flow):
    told = flow("openid_client.mjs", {"id": "demo-web", "method": "none"})
    assert told["token_type"] == "bearer"
    assert told["rotated"] is True


def test_openid_client_with_a_secret_in_the_form(flow, register):
    client = register("shop", token_endpoint_auth_method="client_secret_post", rotates_refresh_tokens=False)
    told = flow("openid_client.mjs", {**client, "method": "client_secret_post"})
    assert told["rotated"] is False


def test_openid_client_with_a_key_pushes_its_requests(flow, register):
    """A33, A52: the browser carries nothing but a name, and the client has no secret that anybody could steal from us."""
    key = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256", "use": "sig"})
    jwks = {"keys": [key.as_dict(private=False)]}
    metadata = {"token_endpoint_auth_method": "private_key_jwt", "require_pushed_authorization_requests": True}
    client = {**register("bank", jwks=jwks, **metadata), "jwk": key.as_dict(private=True)}
    assert client["secret"] is None
    told = flow("openid_client.mjs", {**client, "method": "private_key_jwt", "pushes": True})
    assert sorted(told["asked"]) == ["client_id", "request_uri"]


def test_openid_client_signs_its_requests(flow, register):
    """RFC 9101: nobody at the browser can change a word."""
    key = RSAKey.generate_key(2048, {"kid": "k2", "use": "sig"})
    metadata = {"token_endpoint_auth_method": "private_key_jwt", "require_signed_request_object": True}
    registered = register("clinic", jwks={"keys": [key.as_dict(private=False)]}, **metadata)
    client = {**registered, "method": "private_key_jwt", "jwk": key.as_dict(private=True), "signs": True}
    told = flow("openid_client.mjs", client)
    assert sorted(told["asked"]) == ["client_id", "request"]


def test_oauth4webapi_as_a_public_client(flow):
    """It finds us by the other well-known path (RFC 8414), and takes our access token as a service does (RFC 9068)."""
    told = flow("oauth4webapi.mjs", {"id": "demo-web", "method": "none"}, discovery="oauth2")
    assert told["verified"]["sub"] == told["claims"]["sub"]
    assert told["verified"]["scope"].split() == SCOPE.split()


def test_oauth4webapi_with_a_secret_by_basic(flow, register):
    """A31: the secret goes through both form encoding and Base64."""
    client = register("store.one_two-3", "--trusted")
    told = flow("oauth4webapi.mjs", {**client, "method": "client_secret_basic"}, discovery="oidc")
    assert told["verified"]["client_id"] == "store.one_two-3"


def test_openid_client_binds_its_tokens_to_a_key(flow):
    """A53, V13: a public client with DPoP; UserInfo and the service that it calls check the proofs too."""
    told = flow("openid_client.mjs", {"id": "demo-web", "method": "none", "dpop": True})
    assert told["token_type"] == "dpop"


def test_openid_client_pushes_its_requests_and_binds_its_tokens(flow, register):
    """A22, A33, A52, A53: PAR, private_key_jwt and DPoP together, which is what FAPI 2.0 asks for."""
    key = ECKey.generate_key("P-256", {"kid": "k3", "alg": "ES256", "use": "sig"})
    metadata = {"token_endpoint_auth_method": "private_key_jwt", "dpop_bound_access_tokens": True}
    registered = register("fund", jwks={"keys": [key.as_dict(private=False)]}, **metadata)
    client = {**registered, "method": "private_key_jwt", "jwk": key.as_dict(private=True), "pushes": True, "dpop": True}
    assert flow("openid_client.mjs", client)["token_type"] == "dpop"


def test_openid_client_over_https_needs_no_leave(node, tmp_path, monkeypatch):
    """The library refuses http unless it is told not to; here it is told nothing, and trusts the authority of `--tls`."""
    dev = Dev(tmp_path, flags=("--tls",))
    dev.start()
    try:
        authority = dev.data_dir / "tls" / "ca.pem"
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(authority))
        client = {"id": "demo-web", "method": "none"}
        sign_in_and_out(dev, node, Person(dev.issuer, authority), "openid_client.mjs", client)
    finally:
        dev.stop()
