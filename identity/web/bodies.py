"""Bodies of requests: read within bounds of size and time, before anybody knows what is in them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from identity.oauth.errors import InvalidRequest

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 8.0
"""How long a body may take to arrive; one that trickles in holds a connection for as long as it likes otherwise."""


class BodyTooLarge(InvalidRequest):
    """The body exceeds what any request of the protocol needs."""

    status = 413


class BodyTooSlow(InvalidRequest):
    """The body did not arrive in time."""

    status = 408


class UnsupportedMediaType(InvalidRequest):
    """The body is of another type than the endpoint takes."""

    status = 415


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Returns the body, or raises `BodyTooLarge` or `BodyTooSlow`."""
    announced = "".join(headers_of(request, b"content-length")[:1])
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge("The request body is too large.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _gather(request, limit)
    except TimeoutError:
        raise BodyTooSlow("The request body did not arrive in time.") from None


async def _gather(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge("The request body is too large.")
    return bytes(body)


def media_type(request: Request) -> str:
    """Returns what the body is said to be, without parameters."""
    return "".join(headers_of(request, b"content-type")[:1]).partition(";")[0].strip().lower()


def headers_of(request: Request, name: bytes) -> list[str]:
    """Returns the values of a header. Starlette's `Headers` decodes and compares all of them for each look-up."""
    return [value.decode("latin-1") for key, value in request.scope["headers"] if key == name]
