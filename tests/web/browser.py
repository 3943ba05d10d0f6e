"""A browser as far as the code flow needs one: it keeps cookies, and follows what it is told by hand."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from httpx2 import Response
from issuer_in_process import Issuer

CALLBACK = "http://127.0.0.1:54321/callback"
CLIENT = "demo-web"
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass
class Flow:
    """One authorization request, and the secret that its code is redeemed with."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def parameters(self, **changes: Any) -> dict[str, Any]:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        values = {
            "client_id": CLIENT,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid profile email orders:read",
            "state": "st&te=1",
            "nonce": "n-0S6",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**values, **changes}.items() if value is not None}


def answer_of(response: Response, callback: str = CALLBACK) -> dict[str, str]:
    """What the client is sent by the redirect; each parameter once."""
    assert response.status_code == 303, (response.status_code, response.text)
    address, _, query = response.headers["location"].partition("?")
    assert address == callback
    found = parse_qs(query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def hidden_fields(page: Response) -> dict[str, str]:
    """The hidden fields of the form on a page."""
    return {unescape(name): unescape(value) for name, value in _HIDDEN.findall(page.text)}


async def to_login(issuer: Issuer, flow: Flow, **changes: Any) -> Response:
    """The login page that a request leads to."""
    sent = await issuer.http.get("/authorize", params=flow.parameters(**changes))
    assert sent.status_code == 303, sent.text
    assert urlsplit(sent.headers["location"]).path == "/login"
    page = await issuer.http.get(sent.headers["location"])
    assert page.status_code == 200, page.text
    return page


async def submit(issuer: Issuer, page: Response, username: str = "alice", password: str = "wonderland") -> Response:
    """What comes of filling in the form."""
    fields = {**hidden_fields(page), "username": username, "password": password}
    return await issuer.http.post("/login", data=fields)


async def consent_page(issuer: Issuer, response: Response) -> Response:
    """The page that a login leads to where somebody has to agree."""
    assert response.status_code == 303, response.text
    assert urlsplit(response.headers["location"]).path == "/consent"
    page = await issuer.http.get(response.headers["location"])
    assert page.status_code == 200, page.text
    return page


async def decide(issuer: Issuer, page: Response, decision: str = "allow") -> Response:
    """What comes of saying yes, or no."""
    return await issuer.http.post("/consent", data={**hidden_fields(page), "decision": decision})


async def agreed(issuer: Issuer, response: Response) -> Response:
    """Where the browser goes next, after somebody agreed if they were asked."""
    if response.status_code == 303 and response.headers["location"].startswith("/consent"):
        return await decide(issuer, await consent_page(issuer, response))
    return response


async def sign_in(
    issuer: Issuer, flow: Flow, username: str = "alice", password: str = "wonderland", **changes: Any
) -> dict[str, str]:
    """What the client is sent after somebody logged in, and agreed."""
    answer = await submit(issuer, await to_login(issuer, flow, **changes), username, password)
    return answer_of(await agreed(issuer, answer))


async def redeem(issuer: Issuer, flow: Flow, code: str, **changes: Any) -> Response:
    """The answer to the client's token request."""
    fields = {"code": code, "code_verifier": flow.verifier, "redirect_uri": CALLBACK, "client_id": CLIENT, **changes}
    return await issuer.token(
        "authorization_code", **{name: value for name, value in fields.items() if value is not None}
    )
