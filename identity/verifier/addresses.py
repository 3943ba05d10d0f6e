"""When two addresses are the same: compared as RFC 3986 section 6.2.2 and 6.2.3 says, without query and fragment."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})|%", re.ASCII)
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def normal_form(address: str) -> str | None:
    """Returns the one spelling of an http address that all its spellings have, without query and fragment; None for what is
    no such address, or names a user."""
    if _VISIBLE.fullmatch(address) is None:
        return None
    try:
        parts = urlsplit(address)
        host, port, path = parts.hostname, parts.port, _unescaped(parts.path)
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        return None
    if ":" in host:
        host = f"[{host}]"
    place = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    return f"{parts.scheme}://{place}{_without_dots(path)}"


def _unescaped(path: str) -> str:
    """Returns the path with nothing escaped that need not be; what must is escaped in capitals."""

    def spell(match: re.Match[str]) -> str:
        if match[1] is None:
            raise ValueError("not an escape")
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else match[0].upper()

    return _ESCAPE.sub(spell, path)


def _without_dots(path: str) -> str:
    """Returns the path that `.` and `..` lead to (RFC 3986 section 5.2.4)."""
    segments = path.split("/")[1:] or [""]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
