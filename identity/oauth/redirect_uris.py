"""Redirect URIs: which may be registered, and when a request names one that is (A01, A02, A03)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

_MAX_LENGTH = 2048
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?@!$&'()*+,;=%\[\]]+")
"""Those of RFC 3986, without the `#` of a fragment: no backslash, no space, nothing that is not ASCII."""

_DISGUISED = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:2[eEfF5]|5[cC]|[01][0-9A-Fa-f]|7[fF])")
"""An encoded dot, slash, backslash, percent sign or control character: once it is decoded the path is another."""

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\]")
_APP_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+")
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})
_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::[0-9]{1,5})?((?:[/?].*)?)")


def problem_with(uri: str) -> str:
    """Returns why codes must not be sent there, as the end of a sentence; empty if they may: to an https address, by http to
    this machine (RFC 8252 section 7.3), or to an app by a scheme of its own, a reversed domain name (section 7.1)."""
    if len(uri) > _MAX_LENGTH:
        return f"is longer than {_MAX_LENGTH} characters"
    if "#" in uri:
        return "has a fragment (RFC 6749 section 3.1.2)"
    if not _CHARACTERS.fullmatch(uri) or _DISGUISED.search(uri):
        return "has characters that do not belong in a URI, or hides some by encoding them"
    try:
        parts = urlsplit(uri)
        has_port = parts.port is not None
    except ValueError:
        return "is malformed"
    if any(segment.partition(";")[0] in (".", "..") for segment in parts.path.split("/")):
        return "has a path with `.` or `..`"
    if uri.startswith(("https://", "http://")):
        return _problem_with_host(parts, has_port)
    if _APP_SCHEME.fullmatch(parts.scheme) and uri.startswith(f"{parts.scheme}:/") and not parts.netloc:
        return ""
    return "is neither https, nor http to this machine, nor like com.example.app:/signed-in"


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """Tells whether `uri` is one of those, byte for byte. Where one says http and an address of this machine, any port is
    right: an app takes whichever is free (RFC 8252 section 7.3). `localhost` is a name, which may be somebody else."""
    return any(uri == each or _without_port(uri) == _without_port(each) != "" for each in registered)


def origin_of(uri: str) -> str:
    """Returns the origin that a web page must be allowed to submit to, so that it can be sent there; for an app, its scheme."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _problem_with_host(parts: SplitResult, has_port: bool) -> str:
    host = parts.netloc.rpartition(":")[0] if has_port else parts.netloc
    if not _HOST.fullmatch(host):
        return "has no plain host name in lower case: no user, no dot at its end, and xn-- for other letters"
    if parts.scheme == "http" and host not in _LOOPBACK_HOSTS:
        return "is http, and not to this machine"
    return ""


def _without_port(uri: str) -> str:
    match = _LOOPBACK.fullmatch(uri)
    return match[1] + match[2] if match else ""
