"""Requests that ask for another protocol. None is spoken here, and each is read as what it is besides (RFC 9110 section 7.8).

httptools ends such a request with its head, so that uvicorn loses the body, or reads it as the next request: one that somebody
smuggled in. Java's HTTP client asks for HTTP/2 with every request that it sends without TLS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import httptools

_OF_UPGRADES = frozenset({b"upgrade", b"http2-settings"})
"""Headers, and words of `Connection`."""


class UpgradeIgnorer(httptools.HttpRequestParser):
    """A parser that hands over what follows a head that asks for another protocol, instead of stopping there."""

    def __init__(self, protocol: object, read_again: Callable[[bytes], None]) -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn's own.
        self._read_again = read_again

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        """Parses `data`. Raises `HttpParserError`, and never `HttpParserUpgrade`."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as ended:
            self._read_again(data[ended.args[0] :])


def head_without_upgrade(start: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Returns the head of the same request, asking for nothing. `start` is its first line."""
    lines = [start]
    for name, value in headers:
        kept = _without_upgrade(value) if name == b"connection" else value
        if name not in _OF_UPGRADES and (kept or name != b"connection"):
            lines.append(name + b": " + kept)
    return b"\r\n".join([*lines, b"", b""])


def _without_upgrade(words: bytes) -> bytes:
    kept = [word for each in words.split(b",") if (word := each.strip()) and word.lower() not in _OF_UPGRADES]
    return b", ".join(kept)
