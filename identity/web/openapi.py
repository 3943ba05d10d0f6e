"""Describes the protocol endpoints in the OpenAPI document: they are plain routes, which FastAPI cannot describe itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from identity.oauth import metadata as paths
from identity.verifier.profile import API_KEY_GRANT, API_KEY_PARAMETER
from identity.web.routes import issuer_path

_TOKEN_PARAMETERS = {
    "grant_type": f"authorization_code, refresh_token, client_credentials, password or {API_KEY_GRANT}",
    "code": "with grant_type=authorization_code",
    "code_verifier": "with grant_type=authorization_code (RFC 7636)",
    "redirect_uri": "with grant_type=authorization_code, if the authorization request had one",
    "username": "with grant_type=password",
    "password": "with grant_type=password",
    "refresh_token": "with grant_type=refresh_token",
    API_KEY_PARAMETER: f"with grant_type={API_KEY_GRANT}, which takes no client_id",
    "scope": "space separated; left out: everything the client may have at its default resource",
    "resource": "identifier of the resource the token is for (RFC 8707)",
    "client_id": "of a public client, or with client_secret",
    "client_secret": "of a confidential client; or HTTP Basic",
}
_REVOCATION_PARAMETERS = {
    "token": "a refresh token, or an access token",
    "token_type_hint": "not needed",
    "client_id": "of a public client, or with client_secret",
    "client_secret": "of a confidential client; or HTTP Basic",
}
_INTROSPECTION_PARAMETERS = {
    "token": "an access token",
    "token_type_hint": "not needed",
    "client_id": "the name of the resource, with client_secret",
    "client_secret": "of the resource; or HTTP Basic",
}
_PUSHED_PARAMETERS = {
    "client_id": "who asks; with what proves it, as at the token endpoint",
    "response_type": "code; this and all the rest as at the authorization endpoint",
    "request": "all of it as a signed request object (RFC 9101)",
}
_REFERENCE: dict[str, Any] = {
    "type": "object",
    "required": ["request_uri", "expires_in"],
    "properties": {"request_uri": {"type": "string"}, "expires_in": {"type": "integer"}},
}
_ERROR: dict[str, Any] = {
    "description": "The error of RFC 6749 section 5.2.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
            }
        }
    },
}
_TOKENS: dict[str, Any] = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in"],
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"type": "string", "enum": ["Bearer", "DPoP"]},
        "expires_in": {"type": "integer"},
        "scope": {"type": "string"},
        "refresh_token": {"type": "string"},
        "id_token": {"type": "string"},
    },
}

_OBJECT: dict[str, Any] = {"type": "object"}
_INTROSPECTED: dict[str, Any] = {
    "type": "object",
    "required": ["active"],
    "properties": {"active": {"type": "boolean", "description": "false stands alone; true comes with the claims"}},
}


def describe(app: FastAPI, issuer: str) -> None:
    """Makes `app.openapi()` tell of the protocol endpoints too."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schema["paths"] = {**_paths(issuer_path(issuer)), **schema.get("paths", {})}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _paths(base: str) -> dict[str, Any]:
    return {
        base + paths.TOKEN_PATH: {
            "post": _form("Get tokens", _TOKEN_PARAMETERS, ["grant_type"], {"200": _json("The tokens.", _TOKENS)})
        },
        base + paths.PUSHED_AUTHORIZATION_PATH: {
            "post": _form(
                "Push an authorization request", _PUSHED_PARAMETERS, [], {"201": _json("Its reference.", _REFERENCE)}
            )
        },
        base + paths.REVOCATION_PATH: {
            "post": _form("Log out", _REVOCATION_PARAMETERS, ["token"], {"200": {"description": "Ended, or unknown."}})
        },
        base + paths.INTROSPECTION_PATH: {
            "post": _form(
                "Ask about a token, for resource services",
                _INTROSPECTION_PARAMETERS,
                ["token"],
                {"200": _json("Whether it is good for the caller.", _INTROSPECTED)},
            )
        },
        base + paths.USERINFO_PATH: {
            **_get("Who the person of a token is (OpenID Connect Core section 5.3)"),
            "post": _form("The same", {"access_token": "or in the header"}, [], {"200": _json("The claims.", _OBJECT)}),
        },
        base + paths.JWKS_PATH: _get("The public keys (RFC 7517)"),
        paths.AUTHORIZATION_SERVER_PATH + base: _get("Metadata (RFC 8414)"),
        base + paths.OPENID_CONFIGURATION_PATH: _get("Metadata (OpenID Connect Discovery)"),
        base + paths.FEED_PATH: _get("The revocation feed, a long poll for resource services"),
    }


def _form(summary: str, fields: dict[str, str], required: list[str], answers: dict[str, Any]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in fields.items()}
    schema = {"type": "object", "required": required, "properties": properties}
    refusals = {"400": _ERROR, "401": _ERROR, "503": _ERROR}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}},
        "responses": {**answers, **refusals},
    }


def _get(summary: str) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": _json("The document.", _OBJECT)}}}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
