"""Authorization server metadata (RFC 8414): only true statements, derived from what is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from identity.oauth.assurance import ACR_VALUES
from identity.oauth.claims import CLAIMS_OF
from identity.oauth.pkce import S256
from identity.verifier import profile
from identity.verifier.dpop import PROOF_ALGORITHMS
from identity.verifier.signature_keys import SIGNATURE_ALGORITHMS

AUTHORIZATION_PATH = "/authorize"
LOGIN_PATH = "/login"
CONSENT_PATH = "/consent"
LOGOUT_PATH = "/logout"
LOGOUT_CONFIRMATION_PATH = "/logout/confirm"
LOGOUT_EVERYWHERE_PATH = "/logout/everywhere"
PUSHED_AUTHORIZATION_PATH = "/par"
TOKEN_PATH = "/token"
USERINFO_PATH = "/userinfo"
REVOCATION_PATH = "/revoke"
REGISTRATION_PATH = "/register"
INTROSPECTION_PATH = "/introspect"
JWKS_PATH = "/.well-known/jwks.json"
FEED_PATH = "/revocations"
AUTHORIZATION_SERVER_PATH = "/.well-known/oauth-authorization-server"
OPENID_CONFIGURATION_PATH = "/.well-known/openid-configuration"

_OWN_CLAIMS = ("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid")
_RESOURCE_AUTHENTICATION = ["client_secret_basic", "client_secret_post"]
_CLIENT_AUTHENTICATION = ["none", *_RESOURCE_AUTHENTICATION, "private_key_jwt"]


@dataclass(frozen=True, slots=True)
class Enabled:
    """What this server does, beside what every one does: as it was told to, and as its keys are. `signing_algorithms` are those
    that some key signs with; `registers`: clients may register themselves."""

    grant_types: Iterable[str]
    scopes: Iterable[str]
    signing_algorithms: Iterable[str]
    has_certificates: bool = False
    subject_types: Iterable[str] = ("public",)
    registers: bool = False


def metadata(issuer: str, enabled: Enabled) -> dict[str, object]:
    """Returns the metadata document of this issuer."""
    methods = [*_CLIENT_AUTHENTICATION, *(["tls_client_auth"] if enabled.has_certificates else [])]
    return {
        **_endpoints(issuer, enabled.registers),
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "grant_types_supported": list(enabled.grant_types),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "code_challenge_methods_supported": [S256],
        "authorization_response_iss_parameter_supported": True,
        "subject_types_supported": list(enabled.subject_types),
        "id_token_signing_alg_values_supported": list(enabled.signing_algorithms),
        "userinfo_signing_alg_values_supported": list(enabled.signing_algorithms),
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
        "claims_supported": sorted({*_OWN_CLAIMS, *(name for names in CLAIMS_OF.values() for name in names)}),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": True,
        "acr_values_supported": list(ACR_VALUES),
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": list(SIGNATURE_ALGORITHMS),
        "require_signed_request_object": False,
        "require_pushed_authorization_requests": False,
        "request_uri_parameter_supported": False,
        "scopes_supported": sorted(enabled.scopes),
        "tls_client_certificate_bound_access_tokens": enabled.has_certificates,
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": list(SIGNATURE_ALGORITHMS),
        "revocation_endpoint_auth_signing_alg_values_supported": list(SIGNATURE_ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": _RESOURCE_AUTHENTICATION,
    }


def _endpoints(issuer: str, registers: bool) -> dict[str, object]:
    endpoints: dict[str, object] = {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZATION_PATH,
        "pushed_authorization_request_endpoint": issuer + PUSHED_AUTHORIZATION_PATH,
        "token_endpoint": issuer + TOKEN_PATH,
        "userinfo_endpoint": issuer + USERINFO_PATH,
        "end_session_endpoint": issuer + LOGOUT_PATH,
        "revocation_endpoint": issuer + REVOCATION_PATH,
        profile.INTROSPECTION_METADATA: issuer + INTROSPECTION_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        profile.FEED_METADATA: issuer + FEED_PATH,
    }
    return {**endpoints, "registration_endpoint": issuer + REGISTRATION_PATH} if registers else endpoints
