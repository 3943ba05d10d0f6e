"""The FastAPI adapter: a guard for routes, its errors as RFC 6750 wants them, and the Authorize button in Swagger."""

# No `from __future__ import annotations`: FastAPI reads the annotations of `BearerGuard.__call__`.

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import FastAPI, HTTPException, Request, Security
from fastapi.openapi.models import APIKey, APIKeyIn, OAuthFlowPassword, OAuthFlows
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2, SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from identity.verifier.api_keys import ApiKeyExchange
from identity.verifier.bearer import Bearer, BearerRefused
from identity.verifier.certificates import CertificateHeader
from identity.verifier.feed import WhenStale
from identity.verifier.possession import DPoP
from identity.verifier.token import VerifiedToken
from identity.verifier.verifier import Verifier


class BearerError(HTTPException):
    """An answer to a request whose token is missing, refused or not enough (RFC 6750 section 3).

    `bearer_errors(app)` makes the body the RFC's JSON object; without it FastAPI wraps the same object in `detail`.
    """

    def __init__(self, refused: BearerRefused) -> None:
        super().__init__(refused.status, refused.body, refused.headers)
        self.body: Final = refused.body


class BearerGuard(OAuth2):
    """A dependency that lets a request through with the `VerifiedToken` it brought, or answers 400, 401, 403 or 503.

    Use it as `Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])]`. `scopes` (name to description) is what
    Swagger offers; `token_url` defaults to the issuer's `/token`. `when_stale` overrides the verifier's policy for the routes
    behind this guard. `resource_metadata` is the address of the metadata of RFC 9728, when the service publishes any. With
    `dpop` a token may, or must, be bound to a key of the client; with `certificates`, to its certificate.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        token_url: str | None = None,
        scopes: dict[str, str] | None = None,
        scheme_name: str = "OAuth2",
        description: str | None = None,
        when_stale: WhenStale | None = None,
        resource_metadata: str | None = None,
        dpop: DPoP | None = None,
        certificates: CertificateHeader | None = None,
    ) -> None:
        address = token_url or verifier.issuer.rstrip("/") + "/token"
        flows = OAuthFlows(password=OAuthFlowPassword(tokenUrl=address, scopes=scopes or {}))
        super().__init__(flows=flows, scheme_name=scheme_name, description=description)
        self._bearer = Bearer(verifier, when_stale, resource_metadata, dpop=dpop, certificates=certificates)

    async def __call__(  # type: ignore[override]  # FastAPI passes what is annotated, not what the base class takes
        self, request: HTTPConnection, required: SecurityScopes
    ) -> VerifiedToken:
        """Returns the verified token of the request if it holds every scope the route asks for."""
        try:
            return await self._bearer.admit(request.scope, required.scopes)
        except BearerRefused as refused:
            raise BearerError(refused) from refused


class _ApiKeyScheme(SecurityBase):
    """What Swagger offers beside the token; whoever guards reads the header."""

    def __init__(self) -> None:
        self.model = APIKey.model_validate({"in": APIKeyIn.header, "name": "X-API-Key"})
        self.scheme_name = "ApiKey"

    async def __call__(self) -> None:
        """Decides nothing."""


_API_KEY_SCHEME: Final = _ApiKeyScheme()


class ApiKeyGuard(BearerGuard):
    """A `BearerGuard` that also takes an API key in `X-API-Key` instead of a token; Swagger offers both. `options` are those
    of `BearerGuard`."""

    def __init__(self, api_keys: ApiKeyExchange, **options: Any) -> None:
        super().__init__(api_keys.verifier, **options)
        self._bearer = replace(self._bearer, api_keys=api_keys)

    async def __call__(  # type: ignore[override]
        self, request: HTTPConnection, required: SecurityScopes, _: Annotated[None, Security(_API_KEY_SCHEME)]
    ) -> VerifiedToken:
        """Returns the verified token of the request, or of its key, if it holds every scope the route asks for."""
        return await super().__call__(request, required)


def bearer_errors(app: FastAPI) -> None:
    """Has `app` answer a `BearerError` with the JSON object of RFC 6749 section 5.2 instead of FastAPI's `detail`."""

    async def answer(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, BearerError)
        return JSONResponse(error.body, error.status_code, error.headers)

    app.add_exception_handler(BearerError, answer)


def verifier_lifespan(verifier: Verifier) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Returns a lifespan for `FastAPI(lifespan=...)`: the keys are fetched from the start, and nothing is left at the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with verifier:
            yield

    return lifespan
