"""Describes the protocol endpoints in the OpenAPI document: they are plain routes, which FastAPI cannot describe itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from identity.oauth import metadata as paths
from identity.verifier.profile import API_KEY_GRANT, API_KEY_PARAMETER, BEARER_SCHEME, COLUMNS, DPOP_SCHEME
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
_FEED_PARAMETERS = {
    "cursor": "epoch and number of the last rule that is known, with a dot between; left out: everything",
    "wait": "seconds to wait for the first rule after the cursor",
    "form": f"`{COLUMNS}`: rules by columns",
}
_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0}
_QUOTABLE: dict[str, Any] = {"type": "string", "pattern": r"^[\x20-\x21\x23-\x5b\x5d-\x7e]+$"}
"""RFC 6749 section 5.2."""


def _object(
    required: dict[str, Any], optional: dict[str, Any] | None = None, *, open_ended: bool = False
) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": open_ended,
    }


_ERROR = _object({"error": _QUOTABLE, "error_description": _QUOTABLE})
_REFERENCE = _object({"request_uri": _TEXT, "expires_in": _NUMBER})
_TOKENS = _object(
    {
        "access_token": _TEXT,
        "token_type": {"type": "string", "enum": [BEARER_SCHEME, DPOP_SCHEME]},
        "expires_in": _NUMBER,
        "scope": _TEXT,
    },
    {"refresh_token": _TEXT, "id_token": _TEXT},
)
_INTROSPECTED = _object(
    {"active": {"type": "boolean", "description": "false stands alone; true comes with the claims"}}, open_ended=True
)
_REGISTERED = _object({"client_id": _TEXT, "client_id_issued_at": _NUMBER}, open_ended=True)
_CLAIMS = _object({"sub": _TEXT}, open_ended=True)
_KEYS = _object({"keys": {"type": "array", "items": _object({"kty": _TEXT, "kid": _TEXT}, open_ended=True)}})
_METADATA = _object({"issuer": _TEXT, "token_endpoint": _TEXT, "jwks_uri": _TEXT}, open_ended=True)
_RULES = _object(
    {
        "epoch": _TEXT,
        "seq": _NUMBER,
        "snapshot": {"type": "boolean"},
        "as_of_age": {"type": "number", "minimum": 0},
        "jwks_version": _TEXT,
    },
    {"rules": {"type": "array"}, "columns": {"type": "array"}},
)


def describe(app: FastAPI, issuer: str, registers: bool) -> None:
    """Makes `app.openapi()` tell of the protocol endpoints too; `registers`: clients may register themselves."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schema["paths"] = {**_paths(issuer_path(issuer), registers), **schema.get("paths", {})}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _paths(base: str, registers: bool) -> dict[str, Any]:
    known = {"304": _plain("Unchanged.")}
    registration = {base + paths.REGISTRATION_PATH: {"post": _registration()}} if registers else {}
    return {
        **registration,
        base + paths.TOKEN_PATH: {
            "post": _form("Get tokens", _TOKEN_PARAMETERS, ["grant_type"], {"200": _json("The tokens.", _TOKENS)})
        },
        base + paths.PUSHED_AUTHORIZATION_PATH: {
            "post": _form(
                "Push an authorization request", _PUSHED_PARAMETERS, [], {"201": _json("Its reference.", _REFERENCE)}
            )
        },
        base + paths.REVOCATION_PATH: {
            "post": _form("Log out", _REVOCATION_PARAMETERS, ["token"], {"200": _plain("Ended, or unknown.")})
        },
        base + paths.INTROSPECTION_PATH: {
            "post": _form(
                "Ask about a token, for resource services",
                _INTROSPECTION_PARAMETERS,
                ["token"],
                {"200": _json("Whether it is good for the caller.", _INTROSPECTED)},
            )
        },
        base + paths.USERINFO_PATH: _userinfo(),
        base + paths.LOGOUT_EVERYWHERE_PATH: _everywhere(),
        base + paths.JWKS_PATH: _get("The public keys (RFC 7517)", _KEYS, known),
        paths.AUTHORIZATION_SERVER_PATH + base: _get("Metadata (RFC 8414)", _METADATA),
        base + paths.OPENID_CONFIGURATION_PATH: _get("Metadata (OpenID Connect Discovery)", _METADATA),
        base + paths.FEED_PATH: _feed(),
    }


def _userinfo() -> dict[str, Any]:
    refused = _errors("403")
    summary = "Who the person of a token is (OpenID Connect Core section 5.3)"
    described = _form(
        "The same", {"access_token": "or in the header"}, [], {"200": _json("The claims.", _CLAIMS), **refused}
    )
    described["requestBody"]["required"] = False
    return {**_get(summary, _CLAIMS, {**_errors("400", "401"), **refused}), "post": described}


def _everywhere() -> dict[str, Any]:
    summary, fields = "End every session of the person of a token", {"access_token": "or in the header"}
    described = _form(summary, fields, [], {"200": _json("All is over.", {"type": "object"}), **_errors("403")})
    described["requestBody"]["required"] = False
    return {"post": described}


def _feed() -> dict[str, Any]:
    described = _get("The revocation feed, a long poll for resource services", _RULES, _errors("400", "401"))
    described["get"]["parameters"] = [
        {"name": name, "in": "query", "description": text, "schema": _TEXT} for name, text in _FEED_PARAMETERS.items()
    ]
    return described


def _form(summary: str, fields: dict[str, str], required: list[str], answers: dict[str, Any]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in fields.items()}
    schema = {"type": "object", "required": required, "properties": properties}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}},
        "responses": {**answers, **_errors("400", "401", "408", "413", "415", "429", "503")},
    }


def _registration() -> dict[str, Any]:
    content = {
        "application/json": {"schema": {"type": "object", "description": "client metadata of RFC 7591 section 2"}}
    }
    return {
        "summary": "Register a client (RFC 7591)",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "201": _json("What was registered.", _REGISTERED),
            **_errors("400", "401", "413", "415", "429", "503"),
        },
    }


def _get(summary: str, schema: dict[str, Any], others: dict[str, Any] | None = None) -> dict[str, Any]:
    answers = {"200": _json("The document.", schema), **(others or {}), **_errors("503")}
    return {"get": {"summary": summary, "responses": answers}}


_HEADERS = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
"""What comes with an error of this status, always."""


def _errors(*statuses: str) -> dict[str, Any]:
    answers = {
        status: _json("The error of RFC 6749 section 5.2, or of RFC 6750 section 3.1.", _ERROR) for status in statuses
    }
    for status in statuses:
        names = ["Cache-Control", *([_HEADERS[status]] if status in _HEADERS else [])]
        answers[status]["headers"] = {name: {"required": True, "schema": _TEXT} for name in names}
    return answers


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _plain(description: str) -> dict[str, Any]:
    return {"description": description}
