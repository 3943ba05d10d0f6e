"""The metadata documents and the JWKS: what clients and services find everything else by."""

from __future__ import annotations

import json
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from identity.feed.stores import StoreUnavailableError
from identity.keyring.signers import PublishedKeys
from identity.oauth.metadata import Enabled, metadata
from identity.oauth.scopes import SERVER_SCOPES
from identity.web.services import Services


class Discovery:
    """Serves what is public. The issuer is configuration: no header of a request ever shows in an answer (A60)."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._jwks_cache = f"public, max-age={settings.jwks_max_age}"
        self._scopes = SERVER_SCOPES
        self._jwks: tuple[PublishedKeys | None, Response] = (None, Response())
        """The keys and their answer, made once for each version of the keyring and sent to everyone."""

    async def metadata(self, _request: Request) -> Response:
        """Answers both well-known documents (RFC 8414, OpenID Connect Discovery); without a database, with the scopes it
        knew last: services must be able to start, and to verify, while nothing can be issued."""
        services = self._services
        with suppress(StoreUnavailableError):
            self._scopes = (await services.registry.resources()).scopes | SERVER_SCOPES
        enabled = Enabled(
            services.tokens.grant_types,
            self._scopes,
            tuple(services.keys.now.signers),
            has_certificates=services.certificates is not None,
            subject_types=services.subjects.types,
            registers=services.registration is not None,
        )
        document = metadata(services.settings.issuer, enabled)
        return Response(
            json.dumps(document).encode(), 200, {"Cache-Control": "public, max-age=300"}, "application/json"
        )

    async def jwks(self, request: Request) -> Response:
        """Answers the JWKS (RFC 7517), or 304 when the caller has this version (K03)."""
        published = self._services.keys.now.published
        if self._jwks[0] is not published:
            self._jwks = (published, Response(published.body, 200, self._jwks_headers(published), "application/json"))
        known = request.headers.get("if-none-match")
        if known is not None and _is_known(known, _etag(published)):
            return Response(b"", 304, self._jwks_headers(published))
        return self._jwks[1]

    def _jwks_headers(self, published: PublishedKeys) -> dict[str, str]:
        return {"Cache-Control": self._jwks_cache, "ETag": _etag(published)}


def _etag(published: PublishedKeys) -> str:
    return f'"{published.version}"'


def _is_known(if_none_match: str, etag: str) -> bool:
    """Compares weakly (RFC 9110 section 13.1.2): a proxy that compresses an answer weakens its tag."""
    return if_none_match.strip() == "*" or etag in (
        each.strip().removeprefix("W/") for each in if_none_match.split(",")
    )
