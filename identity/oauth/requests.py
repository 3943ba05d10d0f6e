"""The requests of the protocol endpoints, parsed once: nobody reads a form or a header again after this."""

from __future__ import annotations

from dataclasses import dataclass, field

from identity.oauth.authorization.request import AuthorizationParameters
from identity.oauth.registry import AuthenticationMethod
from identity.verifier.certificates import ClientCertificate


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """How a client presented itself, unverified. No `client_id` means that the request names no client.
    `certificate` is what a trusted proxy says; it proves something for those clients that registered one."""

    client_id: str | None
    secret: str | None = field(default=None, repr=False)
    assertion: str | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = None
    method: AuthenticationMethod = AuthenticationMethod.NONE


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to the token endpoint (RFC 6749 section 4). Absent and empty parameters are None or empty."""

    grant_type: str
    credentials: ClientCredentials
    address: str
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    code_verifier: str | None = field(default=None, repr=False)
    redirect_uri: str | None = None
    proofs: tuple[str, ...] = field(default=(), repr=False)
    """What was sent in `DPoP` headers, unverified."""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A request that an access token is to open an endpoint of the server for (RFC 6750 section 2, RFC 9449 section 7.1).
    `scheme` is `Bearer` or `DPoP`."""

    token: str = field(repr=False)
    scheme: str
    method: str
    proofs: tuple[str, ...] = field(default=(), repr=False)
    certificate: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class PushedAuthorizationRequest:
    """A request to the pushed authorization request endpoint (RFC 9126 section 2.1). `sent` is what it asks for."""

    sent: AuthorizationParameters
    credentials: ClientCredentials
    proofs: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class RevocationRequest:
    """A request to the revocation endpoint (RFC 7009 section 2.1). The type hint is only a hint, and is not needed."""

    token: str = field(repr=False)
    credentials: ClientCredentials
    address: str


@dataclass(frozen=True, slots=True)
class IntrospectionRequest:
    """A request to the introspection endpoint (RFC 7662 section 2.1). The type hint is only a hint, and is not needed."""

    token: str = field(repr=False)
    credentials: ClientCredentials
