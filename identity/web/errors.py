"""Every error becomes a response here, and nowhere else: RFC 6749 and RFC 6750 JSON, never a stack trace."""

from __future__ import annotations

import json

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from identity.feed.stores import StoreUnavailableError
from identity.oauth.errors import InvalidClient, InvalidToken, OAuthError, TemporarilyUnavailable

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_RETRY_AFTER_SECONDS = 1

log = structlog.get_logger("identity.web")


def register(app: FastAPI) -> None:
    """Makes `app` answer every error in the protocol's own format."""
    app.add_exception_handler(OAuthError, _oauth_error)
    app.add_exception_handler(StoreUnavailableError, _store_unavailable)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)


async def _oauth_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OAuthError)
    log.info("request refused", path=request.url.path, error=error.code, detail=error.detail)
    headers = {}
    if isinstance(error, InvalidClient):
        headers["WWW-Authenticate"] = 'Basic realm="identity", charset="UTF-8"'
    elif isinstance(error, InvalidToken):
        headers["WWW-Authenticate"] = f'Bearer error="{error.code}"'
    elif isinstance(error, TemporarilyUnavailable):
        headers["Retry-After"] = str(error.retry_after)
    return _answer(error.status, error.code, error.description, headers)


async def _store_unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreUnavailableError)
    log.warning("a store is away", path=request.url.path, problem=str(error))
    description = "A store the server needs cannot answer; try again."
    return _answer(503, TemporarilyUnavailable.code, description, {"Retry-After": str(_RETRY_AFTER_SECONDS)})


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    description = {404: "There is no such endpoint.", 405: "The method is not allowed here."}.get(error.status_code)
    return _answer(error.status_code, "invalid_request", description or "The request is malformed.", error.headers)


async def _disconnected(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _unexpected(request: Request, error: Exception) -> Response:
    # The message of an unforeseen exception may hold anything a client sent: its type and place are enough to find it.
    log.error("unexpected error", path=request.url.path, kind=type(error).__name__, place=_place(error))
    return _answer(500, "server_error", "The server met an unexpected condition.", {})


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def _answer(status: int, code: str, description: str, headers: object) -> Response:
    extra = dict(headers) if isinstance(headers, dict) else {}
    body = json.dumps({"error": code, "error_description": description}).encode()
    return Response(body, status, {**NO_STORE, **extra}, "application/json")
