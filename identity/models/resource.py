"""Resources: services that verify tokens."""

from __future__ import annotations

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel


class Resource(SQLModel, table=True):
    """A service that verifies tokens. `identifier` is the `aud` of tokens for it (an absolute URI, RFC 8707); `scopes` are
    owned by it alone. `token_type` is `JWT` where an old verifier refuses `at+jwt`. `signing_alg` signs
    them. The secret opens the revocation feed."""

    name: str = Field(primary_key=True, max_length=64)
    identifier: str = Field(max_length=512, unique=True)
    scopes: list[str] = Field(default_factory=list, sa_type=JSON)
    token_type: str = Field(default="at+jwt", max_length=16)
    signing_alg: str = Field(default="RS256", max_length=16, sa_column_kwargs={"server_default": "RS256"})
    secret_hashes: list[str] = Field(default_factory=list, sa_type=JSON)
    is_demo: bool = False
