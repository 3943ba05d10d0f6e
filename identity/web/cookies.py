"""The two cookies of a browser: the login session, and what binds the pages of a sign-in to it (U06, A12)."""

from __future__ import annotations

import hashlib
import secrets

from starlette.requests import Request
from starlette.responses import Response

_SECRET_BYTES = 32


class Cookies:
    """Reads and sets them. They live until the browser is closed; how long a session lasts, the server decides.

    Over https their names begin with `__Host-`: no other host of the domain, and nobody on the wire, can set them.
    """

    def __init__(self, issuer: str) -> None:
        self._is_secure = issuer.startswith("https:")
        prefix = "__Host-" if self._is_secure else ""
        self._session, self._browser = f"{prefix}identity-session", f"{prefix}identity-browser"

    def session_of(self, request: Request) -> str:
        """Returns the secret of the login session; empty if there is none."""
        return request.cookies.get(self._session, "")

    def set_session(self, response: Response, secret: str) -> None:
        """Gives the browser another login session."""
        self._set(response, self._session, secret)

    def browser_of(self, request: Request) -> str:
        """Returns the digest of what only this browser has; empty if it has nothing."""
        secret = request.cookies.get(self._browser, "")
        return digest(secret) if secret else ""

    def set_browser(self, response: Response, secret: str) -> None:
        """Gives the browser a secret of its own; nothing happens for an empty one."""
        if secret:
            self._set(response, self._browser, secret)

    def remove_session(self, response: Response) -> None:
        """Takes the login session from the browser."""
        response.delete_cookie(self._session, path="/", secure=self._is_secure, httponly=True, samesite="lax")

    def _set(self, response: Response, name: str, value: str) -> None:
        # Lax: a client's link brings the session along, another site's form does not.
        response.set_cookie(name, value, path="/", secure=self._is_secure, httponly=True, samesite="lax")


def new_secret() -> str:
    """Returns a secret for a browser: 256 random bits."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
