"""Every error becomes an answer here, and nowhere else: RFC 6749 and RFC 6750 JSON, or the words on a page, never a stack
trace."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from identity.feed.stores import StoreUnavailableError
from identity.oauth.errors import (
    InsufficientScope,
    InvalidClient,
    InvalidToken,
    OAuthError,
    TemporarilyUnavailable,
    TooManyAttempts,
    UseDpopNonce,
)
from identity.verifier.dpop import PROOF_ALGORITHMS
from identity.verifier.profile import DPOP_SCHEME

DPOP_NONCE = "DPoP-Nonce"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_RETRY_AFTER_SECONDS = 1

log = structlog.get_logger("identity.web")


def register(app: FastAPI) -> None:
    """Makes `app` answer every error in the protocol's own format."""

    async def answer(request: Request, error: Exception) -> Response:
        return response_to(request, error)

    for kind in (OAuthError, StoreUnavailableError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, answer)


@dataclass(frozen=True, slots=True)
class Told:
    """What whoever asked is told of an error."""

    status: int
    code: str
    description: str
    headers: dict[str, str] = field(default_factory=dict)


def response_to(request: Request, error: Exception) -> Response:
    """Returns the response that tells a program of `error`."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)
    told = tell(request, error)
    body = json.dumps({"error": told.code, "error_description": told.description}).encode()
    return Response(body, told.status, {**NO_STORE, **told.headers}, "application/json")


def tell(request: Request, error: Exception) -> Told:
    """Returns what may be told of `error`, and logs what only operators may know."""
    if isinstance(error, OAuthError):
        return _oauth_error(request, error)
    if isinstance(error, StoreUnavailableError):
        log.warning("a store is away", path=request.url.path, problem=str(error))
        description = "A store the server needs cannot answer; try again."
        return Told(503, TemporarilyUnavailable.code, description, {"Retry-After": str(_RETRY_AFTER_SECONDS)})
    if isinstance(error, HTTPException):
        return _http_error(error)
    # The message of an unforeseen exception may hold anything a client sent: its type and place are enough to find it.
    log.error("unexpected error", path=request.url.path, kind=type(error).__name__, place=_place(error))
    return Told(500, "server_error", "The server met an unexpected condition.")


def _oauth_error(request: Request, error: OAuthError) -> Told:
    log.info("request refused", path=request.url.path, error=error.code, detail=error.detail)
    if isinstance(error, TooManyAttempts) and error.alert:
        log.warning("logins are throttled: too many attempts of one", limit=error.alert)
    headers = {}
    if isinstance(error, InvalidClient):
        headers["WWW-Authenticate"] = 'Basic realm="identity", charset="UTF-8"'
    elif isinstance(error, InvalidToken | InsufficientScope):
        headers["WWW-Authenticate"] = _challenge(error)
    elif isinstance(error, UseDpopNonce):
        headers[DPOP_NONCE] = error.nonce
    elif isinstance(error, TemporarilyUnavailable):
        headers["Retry-After"] = str(error.retry_after)
    return Told(error.status, error.code, error.description, headers)


def _challenge(error: InvalidToken | InsufficientScope) -> str:
    algorithms = f', algs="{" ".join(PROOF_ALGORITHMS)}"' if error.scheme == DPOP_SCHEME else ""
    return f'{error.scheme} realm="identity", error="{error.code}"{algorithms}'


def _http_error(error: HTTPException) -> Told:
    description = {404: "There is no such endpoint.", 405: "The method is not allowed here."}.get(error.status_code)
    headers = dict(error.headers or {})
    return Told(error.status_code, "invalid_request", description or "The request is malformed.", headers)


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
