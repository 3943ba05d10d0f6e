"""A web app as far as signing in needs one: it makes requests, and keeps what browsers bring back."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

VERIFIER = "a-verifier-of-more-than-forty-three-characters"
CLIENT = "demo-web"


@dataclass
class RelyingParty:
    """Listens on loopback. `answers` are the parameters that came back, in order."""

    issuer: str
    port: int = 0
    answers: list[dict[str, str]] = field(default_factory=list)

    @property
    def callback(self) -> str:
        return f"http://127.0.0.1:{self.port}/callback"

    @property
    def start(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def link(self, **changes: str) -> str:
        """Where a "sign in" button leads."""
        digest = hashlib.sha256(VERIFIER.encode()).digest()
        values = {
            "client_id": CLIENT,
            "redirect_uri": self.callback,
            "response_type": "code",
            "scope": "openid profile email orders:read",
            "state": "s1",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{self.issuer}/authorize?{urlencode({**values, **changes})}"

    def logout_link(self, id_token: str = "") -> str:
        """Where a "sign out" button leads."""
        values = {"id_token_hint": id_token, "post_logout_redirect_uri": self.start, "state": "out"}
        return f"{self.issuer}/logout?{urlencode(values) if id_token else ''}"

    def tokens(self) -> dict[str, Any]:
        """Redeems the last code."""
        fields = {
            "grant_type": "authorization_code",
            "code": self.answers[-1]["code"],
            "redirect_uri": self.callback,
            "client_id": CLIENT,
            "code_verifier": VERIFIER,
        }
        with urlopen(Request(f"{self.issuer}/token", urlencode(fields).encode())) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def relying_party(issuer: str) -> Iterator[RelyingParty]:
    party = RelyingParty(issuer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def answer(self, query: str) -> None:
            if query:
                party.answers.append({name: values[0] for name, values in parse_qs(query).items()})
            body = b"<!doctype html><title>App</title><h1>Back in the app</h1>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    party.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield party
    server.shutdown()
    thread.join()
    server.server_close()
