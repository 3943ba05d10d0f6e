"""The FastAPI adapter: a guard for routes, its errors as RFC 6750 wants them, and the Authorize button in Swagger."""

# No `from __future__ import annotations`: FastAPI reads the annotations of `BearerGuard.__call__`.

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI, HTTPException, Request
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2, SecurityScopes
from starlette.requests import HTTPConnection

from identity.verifier.errors import (
    InsufficientScope,
    KeysUnavailable,
    RevocationsStale,
    VerificationError,
)
from identity.verifier.feed import WhenStale
from identity.verifier.token import VerifiedToken
from identity.verifier.verifier import Verifier

_MISSING: Final = "A bearer token is required."


class BearerError(HTTPException):
    """An answer to a request whose token is missing, refused or not enough (RFC 6750 section 3).

    `bearer_errors(app)` makes the body the RFC's JSON object; without it FastAPI wraps the same object in `detail`.
    """

    def __init__(self, status: int, error: str, description: str, headers: Mapping[str, str]) -> None:
        body = {"error": error, "error_description": description}
        super().__init__(status, body, {"Cache-Control": "no-store", **headers})
        self.body: Final = body


class BearerGuard(OAuth2):
    """A dependency that lets a request through with the `VerifiedToken` it brought, or answers 400, 401, 403 or 503.

    Use it as `Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])]`. `scopes` (name to description) is what
    Swagger offers; `token_url` defaults to the issuer's `/token`. `when_stale` overrides the verifier's policy for the routes
    behind this guard. `resource_metadata` is the address of the metadata of RFC 9728, when the service publishes any.
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
    ) -> None:
        address = token_url or verifier.issuer.rstrip("/") + "/token"
        flows = OAuthFlows(password=OAuthFlowPassword(tokenUrl=address, scopes=scopes or {}))
        super().__init__(flows=flows, scheme_name=scheme_name, description=description)
        self._verifier = verifier
        self._when_stale: WhenStale | None = when_stale
        self._resource_metadata = resource_metadata

    async def __call__(  # type: ignore[override]  # FastAPI passes what is annotated, not what the base class takes
        self, request: HTTPConnection, required: SecurityScopes
    ) -> VerifiedToken:
        """Returns the verified token of the request if it holds every scope the route asks for."""
        scopes = required.scopes
        try:
            verified = await self._verifier.verify(self._bearer(request, scopes), when_stale=self._when_stale)
            if scopes:
                verified.require(*scopes)
        except VerificationError as error:
            raise self._answer(error, scopes) from error
        return verified

    def _bearer(self, request: HTTPConnection, scopes: list[str]) -> str:
        """Returns the token of the one `Authorization` header; it is taken from nowhere else (V15, RFC 6750 section 2)."""
        values = [value for name, value in request.scope["headers"] if name == b"authorization"]
        if b"access_token" in request.scope["query_string"] and "access_token" in request.query_params:
            raise self._bad_request("The token must be sent in the Authorization header.")
        if len(values) > 1:
            raise self._bad_request("There is more than one Authorization header.")
        scheme, _, token = values[0].partition(b" ") if values else (b"", b"", b"")
        if scheme.lower() != b"bearer":
            raise BearerError(401, "missing_token", _MISSING, self._challenge(scope=" ".join(scopes)))
        if not (token := token.strip(b" ")):
            raise self._bad_request("The Authorization header holds no token.")
        text: str = token.decode("latin-1")
        return text

    def _answer(self, error: VerificationError, scopes: list[str]) -> BearerError:
        if isinstance(error, KeysUnavailable | RevocationsStale):
            retry = {"Retry-After": str(error.retry_after)}
            return BearerError(503, "temporarily_unavailable", error.description, retry)
        scope = " ".join(scopes)
        if isinstance(error, InsufficientScope):
            status, code = 403, "insufficient_scope"
        else:
            status, code, scope = 401, "invalid_token", ""
        challenge = self._challenge(error=code, error_description=error.description, scope=scope)
        return BearerError(status, code, error.description, challenge)

    def _bad_request(self, description: str) -> BearerError:
        challenge = self._challenge(error="invalid_request", error_description=description)
        return BearerError(400, "invalid_request", description, challenge)

    def _challenge(self, **parameters: str) -> dict[str, str]:
        if self._resource_metadata:
            parameters["resource_metadata"] = self._resource_metadata
        said = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)
        return {"WWW-Authenticate": f"Bearer {said}".strip()}


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
