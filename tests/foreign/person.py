"""Somebody at a browser, for clients that have none."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

CALLBACK, AFTER = "http://127.0.0.1:54321/callback", "http://127.0.0.1:54321/"
"""Of clients that never listen: whoever plays them reads where the browser would go."""
SCOPE = "openid profile email orders:read"
_HIDDEN = re.compile(r'name="interaction" value="([^"]*)"')


class Person:
    """Does what pages of the issuer ask, until an address of another comes; keeps cookies in between."""

    def __init__(self, issuer: str, authority: Path | None = None) -> None:
        self._issuer = issuer
        self._browser = requests.Session()
        self._browser.trust_env = False  # A bundle of the machine would be taken instead.
        self._browser.verify = str(authority) if authority else True

    def follow(self, url: str) -> str:
        """Returns the first address that is not the issuer's; nothing is asked there."""
        while url.startswith(f"{self._issuer}/"):
            page = self._at(url)
            assert page.status_code == 303, (url, page.status_code, page.text)
            url = _next(page)
        return url

    def visit(self, url: str) -> requests.Response:
        """Returns the page that this leads to in the end, of whichever server."""
        page = self._at(url)
        while page.is_redirect:
            page = self._at(_next(page))
        return page

    def leads_to_login(self, url: str) -> bool:
        """Whether somebody has to log in to get there."""
        page = self._browser.get(url, timeout=10)
        return page.url.startswith(f"{self._issuer}/login?")

    def submit(self, url: str) -> requests.Response:
        """Presses a button that has no fields; returns the page this leads to in the end."""
        page = self._browser.post(url, allow_redirects=False, timeout=10)
        return self.visit(_next(page)) if page.is_redirect else page

    def _at(self, url: str) -> requests.Response:
        """Goes there; where the issuer asks something, it is answered."""
        page = self._browser.get(url, allow_redirects=False, timeout=10)
        asked = _HIDDEN.findall(page.text) if url.startswith(f"{self._issuer}/") else []
        return self._answer(url, asked[0]) if asked else page

    def _answer(self, url: str, interaction: str) -> requests.Response:
        path = urlsplit(url).path
        filled = {"username": "alice", "password": "wonderland"} if path == "/login" else {"decision": "allow"}
        form = {"interaction": unescape(interaction), **filled}
        return self._browser.post(self._issuer + path, form, allow_redirects=False, timeout=10)


def _next(page: requests.Response) -> str:
    return urljoin(page.url, page.headers["Location"])
