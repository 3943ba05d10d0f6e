"""Talking to the issuer: discovery and bounded requests to its own origin, nowhere else (V19)."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx2

from identity.verifier.compact import strict_json_object
from identity.verifier.profile import FEED_METADATA, INTROSPECTION_METADATA, JWKS_MAX_AGE, MAX_JWKS_BYTES

FETCH_SECONDS: Final = 2.0
"""A fetch of metadata or of keys is over after this time, whatever the issuer does (V19)."""

_WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])", re.IGNORECASE)


class FetchFailed(Exception):
    """The issuer did not give a usable answer. `status` is that of the answer, 0 when there was none."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where the issuer keeps what a verifier needs (RFC 8414). `feed` and `introspection` are absent when it offers none. What
    it calls its token endpoint is looked at by those who need it: whoever only verifies does not mind where it is."""

    jwks_uri: str
    feed: str | None
    introspection: str | None
    token_endpoint: object = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer with status 200. `max_age` is in seconds, absent when the issuer did not say."""

    body: bytes
    max_age: int | None

    @property
    def lifetime(self) -> int:
        """Seconds a JWKS answer may be used before it is fetched again."""
        return JWKS_MAX_AGE if self.max_age is None else min(self.max_age, JWKS_MAX_AGE)


def check_issuer(issuer: str) -> httpx2.URL:
    """Returns the issuer's address: https, or http on loopback; no user, query or fragment. Otherwise `ValueError`."""
    try:
        url = httpx2.URL(issuer)
    except httpx2.InvalidURL as error:
        raise ValueError("the issuer is not a URL") from error
    if url.userinfo or url.query or "?" in issuer or "#" in issuer or not url.host:
        raise ValueError("the issuer must be an address without user, query and fragment")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ValueError("the issuer must use https; http is for loopback addresses only")
    return url


def discovery_address(issuer: httpx2.URL) -> httpx2.URL:
    """Returns where the metadata is: the well-known part goes between host and path (RFC 8414 section 3.1)."""
    return issuer.copy_with(path=_WELL_KNOWN + issuer.path.rstrip("/"))


class IssuerClient:
    """Connections to one issuer, for one event loop. TLS is verified, redirects and proxies are not followed."""

    def __init__(self, issuer: str, ssl_context: ssl.SSLContext | None = None) -> None:
        self._issuer = issuer
        self._address = check_issuer(issuer)
        # Without `trust_env`, neither a proxy nor a .netrc of the environment can come between.
        self._http = httpx2.AsyncClient(
            verify=ssl_context or _trust(self._address), follow_redirects=False, trust_env=False, timeout=None
        )
        self._metadata: Metadata | None = None
        self._discovery: asyncio.Task[Metadata] | None = None

    async def metadata(self, *, fresh: bool = False) -> Metadata:
        """Returns the metadata, fetched once unless `fresh`; its issuer is exactly ours, its addresses at our origin.

        Keys, feed and exchanges all want it at once when an issuer fails: they share one request (F17).
        """
        if self._metadata is not None and not fresh:
            return self._metadata
        if self._discovery is None or self._discovery.done():
            self._discovery = asyncio.get_running_loop().create_task(self._discover())
            self._discovery.add_done_callback(_take_note)
        return await asyncio.shield(self._discovery)

    async def get(self, address: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Answer:
        """Returns an answer of at most `limit` bytes, unpacked ones included, or raises `FetchFailed` or `httpx2.HTTPError`.

        There is no timeout here: whoever asks knows how long is too long.
        """
        return await self._exchange("GET", address, None, limit, headers or {})

    async def post(
        self, address: str, form: Mapping[str, str], *, limit: int, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends a form; the rest is as with `get`."""
        return await self._exchange("POST", address, form, limit, headers or {})

    async def post_token(self, form: Mapping[str, str], *, limit: int, fresh: bool = False) -> Answer:
        """Returns the answer of the token endpoint to `form`, or raises like `get`; `fresh` is as in `metadata`."""
        return await self.post(self._own((await self.metadata(fresh=fresh)).token_endpoint), form, limit=limit)

    async def _exchange(
        self, method: str, address: str, form: Mapping[str, str] | None, limit: int, headers: Mapping[str, str]
    ) -> Answer:
        asked = {"Accept": "application/json", "Accept-Encoding": "gzip", **headers}
        async with self._http.stream(method, address, data=form, headers=asked) as response:
            if response.status_code != 200:
                raise FetchFailed(f"status {response.status_code}", response.status_code)
            return Answer(await _read(response, limit), _max_age(response))

    async def aclose(self) -> None:
        """Closes all connections."""
        if self._discovery is not None:
            self._discovery.cancel()
            await asyncio.wait((self._discovery,))
        await self._http.aclose()

    async def _discover(self) -> Metadata:
        """Bounded by itself: whoever began it may have given up, and left it to others."""
        async with asyncio.timeout(FETCH_SECONDS):
            answer = await self.get(str(discovery_address(self._address)), limit=MAX_JWKS_BYTES)
        self._metadata = self._read_metadata(answer.body)
        return self._metadata

    def _read_metadata(self, body: bytes) -> Metadata:
        try:
            document = strict_json_object(body)
        except ValueError as error:
            raise FetchFailed("the metadata is not strict JSON") from error
        if document.get("issuer") != self._issuer:
            raise FetchFailed("the metadata is that of another issuer")
        feed, introspection = (self._own_if_any(document.get(name)) for name in (FEED_METADATA, INTROSPECTION_METADATA))
        return Metadata(self._own(document.get("jwks_uri")), feed, introspection, document.get("token_endpoint"))

    def _own_if_any(self, address: object) -> str | None:
        return None if address is None else self._own(address)

    def _own(self, address: object) -> str:
        """Returns an address of the metadata if it is at the issuer's origin: keys and secrets go nowhere else."""
        if not isinstance(address, str):
            raise FetchFailed("the metadata lacks an address")
        try:
            url = httpx2.URL(address)
        except httpx2.InvalidURL as error:
            raise FetchFailed("the metadata has a malformed address") from error
        if url.userinfo or _origin(url) != _origin(self._address):
            raise FetchFailed("the metadata names an address outside the issuer's origin")
        return address


def _take_note(discovery: asyncio.Task[Metadata]) -> None:
    """Looks at how it ended, or asyncio complains when nobody waited for it any more."""
    if not discovery.cancelled():
        discovery.exception()


def _trust(address: httpx2.URL) -> ssl.SSLContext:
    """Returns the system's trust; for plain http one that trusts nobody, which is 30 ms cheaper than reading the system's."""
    return ssl.create_default_context() if address.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


async def _read(response: httpx2.Response, limit: int) -> bytes:
    """Returns the body, unpacked as it comes: a large one takes a while, in which others have their turn."""
    unpack = _unpacker(response.headers.get("content-encoding", ""))
    received, body = 0, bytearray()
    async for chunk in response.aiter_raw():
        # Never more than `limit` bytes come out, however few went in: a small answer may unpack to gigabytes.
        received += len(chunk)
        body += chunk if unpack is None else _unpacked(unpack, chunk, limit + 1 - len(body))
        if max(received, len(body)) > limit:
            raise FetchFailed("the answer is too large")
    if unpack is not None and not unpack.eof:
        raise FetchFailed("the answer is cut off")
    return bytes(body)


def _unpacker(encoding: str) -> zlib._Decompress | None:
    if not encoding or encoding.lower() == "identity":
        return None
    if encoding.lower() != "gzip":
        raise FetchFailed("the answer has an encoding nobody asked for")
    return zlib.decompressobj(wbits=31)


def _unpacked(unpack: zlib._Decompress, chunk: bytes, at_most: int) -> bytes:
    try:
        return unpack.decompress(chunk, at_most)
    except zlib.error as error:
        raise FetchFailed("the answer cannot be unpacked") from error


def _max_age(response: httpx2.Response) -> int | None:
    found = _MAX_AGE.search(response.headers.get("cache-control", ""))
    return int(found[1]) if found else None
