"""Authorization server metadata (RFC 8414): only true statements, derived from what is there."""

from __future__ import annotations

from collections.abc import Iterable

from identity.verifier import profile

TOKEN_PATH = "/token"
REVOCATION_PATH = "/revoke"
INTROSPECTION_PATH = "/introspect"
JWKS_PATH = "/.well-known/jwks.json"
FEED_PATH = "/revocations"
AUTHORIZATION_SERVER_PATH = "/.well-known/oauth-authorization-server"
OPENID_CONFIGURATION_PATH = "/.well-known/openid-configuration"

_RESOURCE_AUTHENTICATION = ["client_secret_basic", "client_secret_post"]
_CLIENT_AUTHENTICATION = ["none", *_RESOURCE_AUTHENTICATION]


def metadata(issuer: str, grant_types: Iterable[str], scopes: Iterable[str]) -> dict[str, object]:
    """Returns the metadata document of this issuer."""
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "revocation_endpoint": issuer + REVOCATION_PATH,
        profile.INTROSPECTION_METADATA: issuer + INTROSPECTION_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        profile.FEED_METADATA: issuer + FEED_PATH,
        "grant_types_supported": list(grant_types),
        "response_types_supported": [],
        "scopes_supported": sorted(scopes),
        "token_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
        "revocation_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
        "introspection_endpoint_auth_methods_supported": _RESOURCE_AUTHENTICATION,
    }
