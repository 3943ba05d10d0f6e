"""The one HTTP client for addresses of strangers: what is asked, how much is read, and how long it may take (A15)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Final

import httpx2

from identity.outbound.destinations import Destination, Resolve, destination, system_resolver
from identity.outbound.errors import AnswerRefused, NotReached
from identity.outbound.reach import Address, Reach

_HEADERS: Final = {"User-Agent": "identity", "Accept": "application/json", "Accept-Encoding": "identity"}


class Outbound:
    """Asks strangers. It goes only where `reach` says, by the very address that was looked at; TLS is verified for the name;
    redirects, proxies and passwords of the environment are not followed. Nothing is kept from one request to the next."""

    def __init__(
        self, reach: Reach, resolve: Resolve = system_resolver, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._reach = reach
        self._resolve = resolve
        self._given = ssl_context

    async def get_json(self, url: str, most_bytes: int, seconds: float) -> object:
        """Returns what `url` answers with status 200, in at most `most_bytes` and `seconds`, or raises `OutboundError`.

        It is strict JSON, no member twice and no number that is none; whoever asks looks at what it says.
        """
        async with self._answer("GET", url, None, seconds) as response:
            return _json_of(await _body_of(response, most_bytes))

    async def post_form(self, url: str, fields: Mapping[str, str], seconds: float) -> int:
        """Sends a form; returns the status of the answer, of which nothing else is read, or raises `OutboundError`."""
        async with self._answer("POST", url, fields, seconds) as response:
            return response.status_code

    @asynccontextmanager
    async def _answer(
        self, method: str, text: str, fields: Mapping[str, str] | None, seconds: float
    ) -> AsyncIterator[httpx2.Response]:
        try:
            async with asyncio.timeout(seconds):
                goal = await destination(text, self._reach, self._resolve)
                async with self._client(seconds / len(goal.addresses)) as client:
                    response = await _send(client, method, goal, fields)
                    try:
                        yield response
                    finally:
                        await response.aclose()
        except TimeoutError:
            raise NotReached("no answer in time") from None
        except httpx2.HTTPError as error:
            # Its text may have words of the other side.
            raise NotReached(type(error).__name__) from None

    def _client(self, connect_seconds: float) -> httpx2.AsyncClient:
        """A new one each time: kept connections are found by address, and another name's was made with its certificate."""
        return httpx2.AsyncClient(
            verify=self._trust,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=connect_seconds),
        )

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return self._given or ssl.create_default_context()


async def _send(
    client: httpx2.AsyncClient, method: str, goal: Destination, fields: Mapping[str, str] | None
) -> httpx2.Response:
    """Returns the answer of the first of the addresses at which anybody is; to only one of them anything was sent."""
    for address in goal.addresses[:-1]:
        try:
            return await client.send(_request(client, method, goal, address, fields), stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            continue
    return await client.send(_request(client, method, goal, goal.addresses[-1], fields), stream=True)


def _request(
    client: httpx2.AsyncClient, method: str, goal: Destination, address: Address, fields: Mapping[str, str] | None
) -> httpx2.Request:
    """The URL has the address, so that nobody resolves the name a second time and is told another one (DNS rebinding)."""
    return client.build_request(
        method,
        goal.url.copy_with(host=str(address)),
        headers={**_HEADERS, "Host": goal.url.netloc.decode("ascii")},
        data=None if fields is None else dict(fields),
        extensions={"sni_hostname": goal.url.host.rstrip(".")},
    )


async def _body_of(response: httpx2.Response, most_bytes: int) -> bytes:
    status = response.status_code
    if status != 200:
        raise AnswerRefused(f"status {status}", status)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise AnswerRefused("an encoding nobody asked for", status)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most_bytes:
            raise AnswerRefused("too large", status)
    return bytes(body)


def _json_of(body: bytes) -> object:
    try:
        return json.loads(body.decode(), object_pairs_hook=_without_repetition, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise AnswerRefused("not JSON", 200) from None


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")
