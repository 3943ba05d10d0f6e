"""What addresses in settings look like: what is wrong with one is said in words that complete a sentence."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def require_port(host: str) -> None:
    """Raises `ValueError` with one sentence for a host whose port is no number; its own would show the address."""
    try:
        _ = urlsplit(f"//{host}").port
    except ValueError:
        raise ValueError("must name a host, and a port from 0 to 65535 if any") from None


def issuer_problems(issuer: str, mode: str) -> list[str]:
    """Returns what keeps this from being an issuer identifier (RFC 8414 section 2) in this mode."""
    if not all("!" <= character <= "~" and character not in '"<>\\^`{|}' for character in issuer):
        return ["must be a URL without spaces and other characters that must be encoded"]
    parts = urlsplit(issuer)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return ["must be an absolute http or https URL"]
    require_port(parts.netloc)
    problems = []
    if "?" in issuer or "#" in issuer or parts.username is not None:
        problems.append("must have no user, query or fragment")
    if issuer.endswith("/"):
        problems.append("must not end with a slash")
    if mode == "dev" and parts.hostname not in LOOPBACK_HOSTS:
        problems.append("must be a loopback address under `identity dev`")
    elif parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
        problems.append("must be https anywhere but on loopback")
    return problems
