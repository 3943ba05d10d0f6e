"""Who is the client? One answer for unknown, disabled and wrong: `invalid_client` (A35)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from identity.oauth.client_assertions import ClientAssertions
from identity.oauth.errors import InvalidClient
from identity.oauth.registry import AuthenticationMethod, ProtectedResource, RegisteredClient, Registry
from identity.oauth.requests import ClientCredentials

_BY_SECRET = frozenset({AuthenticationMethod.SECRET_BASIC, AuthenticationMethod.SECRET_POST})
_NOBODY = hashlib.sha256(b"").digest()


class ClientAuthentication:
    """Authenticates clients, and resources at the feed. Their secrets are random and long, so a plain SHA-256 of them is
    safe to keep and 10,000 times cheaper to check than a password hash."""

    def __init__(self, registry: Registry, assertions: ClientAssertions, default_client: str | None) -> None:
        self._registry = registry
        self._assertions = assertions
        self._default_client = default_client

    async def client(self, credentials: ClientCredentials) -> RegisteredClient:
        """Returns the authenticated client, or raises `InvalidClient`. A request that names none means the default client,
        which must be public: FastAPI's password form names none."""
        client_id = self._named(credentials) or self._default_client
        client = await self._registry.client(client_id) if client_id else None
        has_secret = _is_secret_of(client.secret_hashes if client else (), credentials.secret)
        if client is None or not client.is_enabled:
            raise InvalidClient("unknown, disabled or not named")
        if not _is_method_of(client, credentials.method):
            raise InvalidClient(f"{credentials.method} is not the method of this client")
        if credentials.assertion is not None:
            await self._assertions.prove(client, credentials.assertion)
        elif client.authentication_method is AuthenticationMethod.TLS_CLIENT_AUTH:
            _require_certificate(client, credentials)
        elif not client.is_public and not has_secret:
            raise InvalidClient("wrong secret")
        return client

    def _named(self, credentials: ClientCredentials) -> str:
        """Returns whom the request names; an assertion names somebody too, and must not name somebody else."""
        if credentials.assertion is None:
            return credentials.client_id or ""
        subject = self._assertions.client_id_of(credentials.assertion)
        if credentials.client_id not in (None, subject):
            raise InvalidClient("an assertion of another client")
        return subject

    async def resource(self, credentials: ClientCredentials) -> ProtectedResource:
        """Returns the authenticated resource service, or raises `InvalidClient`."""
        resource = (await self._registry.resources()).by_name.get(credentials.client_id or "")
        if not _is_secret_of(resource.secret_hashes if resource else (), credentials.secret) or resource is None:
            raise InvalidClient("unknown resource or wrong secret")
        return resource


def new_secret() -> str:
    """Returns a new secret of 256 random bits: too many to guess, so a plain hash of it is safe to keep (A32)."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    """Returns what is stored of a secret this server generated."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _is_method_of(client: RegisteredClient, method: AuthenticationMethod) -> bool:
    """A client uses the one method that it registered (A30)."""
    registered = client.authentication_method
    if registered is AuthenticationMethod.TLS_CLIENT_AUTH:  # It says nothing: its connection does.
        return method is AuthenticationMethod.NONE
    return method is registered or (registered is AuthenticationMethod.SECRET and method in _BY_SECRET)


def _require_certificate(client: RegisteredClient, credentials: ClientCredentials) -> None:
    """Returns if the client's own certificate is that of the connection (RFC 8705 section 2.1). Whether anybody may believe it
    was the proxy's to say."""
    certificate = credentials.certificate
    if certificate is None or certificate.subject != client.certificate_subject:
        raise InvalidClient("no certificate, or another one")


def _is_secret_of(hashes: Sequence[bytes], secret: str | None) -> bool:
    """Compares with every stored hash, in constant time; an unknown client is compared with a hash nobody has."""
    presented = hash_secret(secret or "")
    matches = [hmac.compare_digest(each, presented) for each in hashes or (_NOBODY,)]
    return bool(secret) and bool(hashes) and any(matches)
