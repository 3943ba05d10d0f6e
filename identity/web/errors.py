"""Every error becomes a response here, and nowhere else: RFC 6749 and RFC 6750 JSON, never a stack trace."""

from __future__ import annotations

import json

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from identity.feed.stores import StoreUnavailableError
from identity.oauth.errors import InvalidClient, OAuthError, TemporarilyUnavailable, TooManyAttempts

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_RETRY_AFTER_SECONDS = 1

log = structlog.get_logger("identity.web")


def register(app: FastAPI) -> None:
    """Makes `app` answer every error in the protocol's own format."""

    async def answer(request: Request, error: Exception) -> Response:
        return response_to(request, error)

    for kind in (OAuthError, StoreUnavailableError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, answer)


def response_to(request: Request, error: Exception) -> Response:
    """Returns the response that tells of `error`, and logs what only operators may know."""
    if isinstance(error, OAuthError):
        return _oauth_error(request, error)
    if isinstance(error, StoreUnavailableError):
        log.warning("a store is away", path=request.url.path, problem=str(error))
        description = "A store the server needs cannot answer; try again."
        return _answer(503, TemporarilyUnavailable.code, description, {"Retry-After": str(_RETRY_AFTER_SECONDS)})
    if isinstance(error, HTTPException):
        return _http_error(error)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)
    # The message of an unforeseen exception may hold anything a client sent: its type and place are enough to find it.
    log.error("unexpected error", path=request.url.path, kind=type(error).__name__, place=_place(error))
    return _answer(500, "server_error", "The server met an unexpected condition.", {})


def _oauth_error(request: Request, error: OAuthError) -> Response:
    log.info("request refused", path=request.url.path, error=error.code, detail=error.detail)
    if isinstance(error, TooManyAttempts) and error.alert:
        log.warning("logins are throttled: too many attempts of one", limit=error.alert)
    headers = {}
    if isinstance(error, InvalidClient):
        headers["WWW-Authenticate"] = 'Basic realm="identity", charset="UTF-8"'
    elif isinstance(error, TemporarilyUnavailable):
        headers["Retry-After"] = str(error.retry_after)
    return _answer(error.status, error.code, error.description, headers)


def _http_error(error: HTTPException) -> Response:
    description = {404: "There is no such endpoint.", 405: "The method is not allowed here."}.get(error.status_code)
    return _answer(error.status_code, "invalid_request", description or "The request is malformed.", error.headers)


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def _answer(status: int, code: str, description: str, headers: object) -> Response:
    extra = dict(headers) if isinstance(headers, dict) else {}
    body = json.dumps({"error": code, "error_description": description}).encode()
    return Response(body, status, {**NO_STORE, **extra}, "application/json")
