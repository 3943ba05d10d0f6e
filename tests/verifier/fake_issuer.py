"""A small issuer on a real socket, honest by default and broken on demand."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from identity.verifier.profile import RuleKind, rule_digest

AUDIENCE = "http://orders.example"
METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"
FEED = "/revocations"
INTROSPECTION = "/introspect"
TOKEN = "/token"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class SigningKey:
    kid: str
    private: RSAPrivateKey

    @cached_property
    def jwk(self) -> dict[str, object]:
        numbers = self.private.public_key().public_numbers()
        members = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid}
        return {**members, "n": number(numbers.n), "e": number(numbers.e)}

    def sign(self, header: bytes, payload: bytes) -> str:
        signing_input = f"{b64(header)}.{b64(payload)}"
        return f"{signing_input}.{b64(self.private.sign(signing_input.encode(), PKCS1v15(), SHA256()))}"


@dataclass(frozen=True)
class Reply:
    """What an overridden path answers: nothing when it hangs until the issuer closes, or one byte every 0.05 s."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    hang: bool = False
    trickles: bool = False


@dataclass
class FakeIssuer:
    keys: list[SigningKey]
    server: ThreadingHTTPServer = field(init=False)
    path: str = ""
    scheme: str = "http"
    hits: Counter[str] = field(default_factory=Counter)
    polls: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    inactive: set[str] = field(default_factory=set)
    exchanges: list[dict[str, str]] = field(default_factory=list)
    api_keys: dict[str, dict[str, object]] = field(default_factory=dict)
    """Keys that are good, and what their tokens say besides the usual; `lifetime` is how long they live."""
    overrides: dict[str, Callable[[], Reply]] = field(default_factory=dict)
    jwks_headers: tuple[tuple[str, str], ...] = (("Cache-Control", "public, max-age=300"),)
    epoch: str = "e1"
    seq: int = 0
    rules: list[list[object]] = field(default_factory=list)
    jwks_version: str = "v1"
    as_of_age: float = 0.0
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}{self.path}"

    def mint(self, *, key: SigningKey | None = None, header: dict[str, object] | None = None, **claims: object) -> str:
        """A good token; claims and headers given replace the usual ones, `None` leaves one out."""
        key = key or self.keys[0]
        full_header = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid, **(header or {})}
        return key.sign(compact_json(full_header), compact_json(self.claims() | claims))

    def claims(self) -> dict[str, object]:
        now = int(time.time())
        ids: dict[str, object] = {"sub": "alice", "client_id": "demo", "jti": f"t{time.perf_counter_ns()}"}
        times = {"iat": now, "exp": now + 600, "rev": self.seq}
        return {"iss": self.url, "aud": AUDIENCE, "scope": "orders:read", "grant_id": "g1", **ids, **times}

    def revoke(self, kind: RuleKind | str, *values: str, lifetime: int | None = 1000) -> int:
        expires_at = None if lifetime is None else int(time.time()) + lifetime
        with self.changed:
            self.seq += 1
            self.rules.append([self.seq, str(kind), b64(rule_digest(kind, *values)), expires_at])  # type: ignore[arg-type]
            self.changed.notify_all()
        return self.seq

    def new_history(self, epoch: str) -> None:
        with self.changed:
            self.epoch, self.seq, self.rules = epoch, 0, []
            self.changed.notify_all()

    def reply(self, target: str, authorization: str | None, form: str = "") -> Reply:
        asked = urlsplit(target)
        self.hits[asked.path] += 1
        poll = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if asked.path == INTROSPECTION:
            self.questions.append(parse_qs(form)["token"][0])
            self.authorizations.append(authorization)
        if asked.path == FEED:
            self.polls.append(poll)
            self.authorizations.append(authorization)
        if override := self.overrides.get(asked.path):
            return override()
        if asked.path == METADATA + self.path:
            return Reply(body=compact_json(self.metadata()))
        if asked.path == JWKS:
            return Reply(body=self.jwks(), headers=self.jwks_headers)
        if asked.path == INTROSPECTION:
            return Reply(body=compact_json({"active": parse_qs(form)["token"][0] not in self.inactive}))
        return Reply(body=self.feed(poll)) if asked.path == FEED else Reply(404)

    def token_reply(self, target: str, body: bytes) -> Reply:
        self.hits[target] += 1
        self.exchanges.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        if override := self.overrides.get(target):
            return override()
        changes = self.api_keys.get(self.exchanges[-1]["api_key"])
        if changes is None:
            return Reply(400, b'{"error":"invalid_grant"}')
        lifetime = int(str(changes.get("lifetime", 600)))
        token = self.mint(exp=int(time.time()) + lifetime, **{k: v for k, v in changes.items() if k != "lifetime"})
        return Reply(body=compact_json({"access_token": token, "token_type": "Bearer", "expires_in": lifetime}))

    def metadata(self) -> dict[str, object]:
        origin = self.url.removesuffix(self.path)
        asked = {"revocation_feed_endpoint": origin + FEED, "introspection_endpoint": origin + INTROSPECTION}
        return {"issuer": self.url, "jwks_uri": origin + JWKS, "token_endpoint": origin + TOKEN, **asked}

    def jwks(self, *more: dict[str, object]) -> bytes:
        return compact_json({"keys": [*(key.jwk for key in self.keys), *more]})

    def feed(self, asked: dict[str, str]) -> bytes:
        epoch, _, seq = asked.get("cursor", "").rpartition(".")
        with self.changed:
            if epoch == self.epoch and int(seq) == self.seq:
                self.changed.wait(float(asked["wait"]))
            snapshot = epoch != self.epoch
            rules = [rule for rule in self.rules if snapshot or rule[0] > int(seq)]  # type: ignore[operator]
            told = {"epoch": self.epoch, "seq": self.seq, "snapshot": snapshot, "as_of_age": self.as_of_age}
            return compact_json({**told, "jwks_version": self.jwks_version, "rules": rules})

    def fail(self, path: str, reply: Reply | Callable[[], Reply]) -> None:
        self.overrides[path] = (lambda: reply) if isinstance(reply, Reply) else reply
        self.wake()

    def recover(self, path: str) -> None:
        self.overrides.pop(path, None)

    def wake(self) -> None:
        """Ends all waiting polls, as a restarting server does."""
        with self.changed:
            self.changed.notify_all()


def compact_json(members: dict[str, object]) -> bytes:
    present = {name: value for name, value in members.items() if value is not None}
    return json.dumps(present, separators=(",", ":")).encode()


@contextmanager
def running(
    keys: list[SigningKey], path: str = "", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[FakeIssuer]:
    """Serves until the block ends."""
    issuer = FakeIssuer(list(keys), path=path, scheme="https" if tls else "http")
    issuer.server = Server(("127.0.0.1", port), handler_of(issuer))
    if tls:
        issuer.server.socket = tls.wrap_socket(issuer.server.socket, server_side=True)
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        issuer.closed.set()
        issuer.wake()
        issuer.server.shutdown()
        issuer.server.server_close()
        thread.join()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to report."""


def handler_of(issuer: FakeIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            self.answer(issuer.reply(self.path, self.headers["Authorization"]))

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path == TOKEN:
                self.answer(issuer.token_reply(self.path, form.encode()))
            else:
                self.answer(issuer.reply(self.path, self.headers["Authorization"], form))

        def answer(self, reply: Reply) -> None:
            if reply.hang:
                issuer.closed.wait()
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            for piece in (bytes([byte]) for byte in reply.body) if reply.trickles else (reply.body,):
                self.wfile.write(piece)
                self.wfile.flush()
                if reply.trickles and issuer.closed.wait(0.05):
                    break

        def log_message(self, format: str, *args: object) -> None:
            """The tests' output is no access log."""

    return Handler
