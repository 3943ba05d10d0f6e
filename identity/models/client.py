"""Clients: programs that ask for tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, false, true
from sqlmodel import Field, SQLModel


def _text(default: str = "") -> Any:
    return Field(default=default, sa_column_kwargs={"server_default": default})


def _flag(default: bool = False) -> Any:
    return Field(default=default, sa_column_kwargs={"server_default": true() if default else false()})


class Client(SQLModel, table=True):
    """A registered client. `secret_hashes` are hexadecimal SHA-256 of secrets this server generated (at most two live at
    once, for a change without interruption); a client without any is public. `origins` may call from a browser (CORS).
    Whether people allow what a trusted one asks for is not asked: it is the operator's own."""

    client_id: str = Field(primary_key=True, max_length=128)
    name: str = Field(max_length=255)
    secret_hashes: list[str] = Field(default_factory=list, sa_type=JSON)
    grant_types: list[str] = Field(default_factory=list, sa_type=JSON)
    redirect_uris: list[str] = Field(default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"})
    post_logout_redirect_uris: list[str] = Field(
        default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"}
    )
    scopes: list[str] = Field(default_factory=list, sa_type=JSON)
    origins: list[str] = Field(default_factory=list, sa_type=JSON)
    default_resource: str | None = Field(default=None, foreign_key="resource.name", max_length=64)
    rotates_refresh_tokens: bool = True
    is_trusted: bool = _flag()

    authentication_method: str = _text()
    """The one way in which it proves who it is (RFC 7591 section 2). Empty in rows of before there was a choice: its secret in
    the header or in the form."""
    jwks: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"})
    """The public keys of what it signs, as JWKs."""
    jwks_uri: str = _text()
    certificate_subject: str = _text()
    """The subject of the certificate that proves who it is (RFC 8705 section 2.1.2), as RFC 4514 writes it."""
    accepts_token_endpoint_audience: bool = _flag()
    """Its assertions may be for the token endpoint: what old libraries write."""
    profile: str = _text()
    """`fapi2` asks for everything that the FAPI 2.0 security profile does."""

    requires_pkce: bool = _flag(True)
    requires_pushed_requests: bool = _flag()
    requires_signed_requests: bool = _flag()
    response_modes: list[str] = Field(default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"})
    """How it may have its answers; empty means any way."""

    subject_type: str = _text("public")
    sector: str = _text()
    """The clients of one sector know a person by the same pairwise name (OpenID Connect Core section 8.1)."""
    id_token_signing_alg: str = _text("RS256")
    userinfo_signed_response_alg: str = _text()
    backchannel_logout_uri: str = _text()
    dpop_bound_access_tokens: bool = _flag()
    certificate_bound_access_tokens: bool = _flag()

    is_enabled: bool = True
    is_demo: bool = False
    is_dynamic: bool = _flag()
    """It registered itself (RFC 7591)."""
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
