"""The generator of whole flows: a process of its own in which many browsers, and the apps they come from, walk the code flow.

Like `load.py` it reads a specification and writes a result, and counts flows instead of answers. Each browser has one
connection, keeps cookies, follows redirects and fills in the form it meets; its app makes a verifier, and redeems the code.
Kinds: `sign_in` (a browser without a session: a login), `session` (one that has one), `authorize` (as far as the code, which is
the result), `redeem` (the rest). Standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import secrets
import select
import sys
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from benchmarks.load import DRAIN_SECONDS, Connection, Count, connect, report

T = TypeVar("T")

CALLBACK = "https://shop.example/callback"
_MOST_STEPS = 8
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')
_ACTION = re.compile(r'<form [^>]*action="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as far as a browser looks at it."""

    status: int
    location: str
    cookies: list[str]
    text: str

    @classmethod
    def of(cls, received: bytes) -> Answer:
        """Parses a complete one."""
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        location = next((value for name, value in headers if name == "location"), "")
        cookies = [value.partition(";")[0] for name, value in headers if name == "set-cookie"]
        return cls(int(first.split(" ", 2)[1]), location, cookies, body.decode())


class UnexpectedAnswerError(Exception):
    """A step of a flow did not lead on."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.location} {answer.text[:400]}")


Steps = Generator[bytes, Answer, T]
"""Yields requests, is sent their answers, and returns what came of it."""


@dataclass(slots=True)
class Flows:
    """Begins flows, as the specification says. `results` are cookies of new sessions, or codes with what redeems them."""

    spec: dict[str, Any]
    results: list[str] = field(default_factory=list)
    _left: deque[str] = field(default_factory=deque)
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self._left.extend(self.spec.get("tokens", []))

    def next(self) -> Steps[None] | None:
        """Returns one flow more; None when there is nothing left to begin one with."""
        kind, limit = self.spec["kind"], self.spec.get("limit")
        if kind == "sign_in":
            return self._sign_in()
        if not self._left or (limit is not None and limit <= 0):
            return None
        if limit is not None:
            self.spec["limit"] = limit - 1
        token = self._left.popleft()
        if kind == "redeem":
            return self._redeem(*token.split(" "))
        self._left.append(token)
        return self._of_session(token, is_whole=kind == "session")

    def _sign_in(self) -> Steps[None]:
        cookies: dict[str, str] = {}
        yield from self._redeem(*(yield from self._authorize(cookies)))
        self.results.append(_header(cookies))

    def _of_session(self, token: str, is_whole: bool) -> Steps[None]:
        cookies = dict(pair.split("=", 1) for pair in token.split("; "))
        begun = yield from self._authorize(cookies)
        if is_whole:
            yield from self._redeem(*begun)
        else:
            self.results.append(" ".join(begun))

    def _authorize(self, cookies: dict[str, str]) -> Steps[tuple[str, str, str]]:
        client, verifier, state = self._client(), secrets.token_urlsafe(32), secrets.token_urlsafe(12)
        request = self._get(f"{self.spec['authorize']}?{self._query(client, verifier, state)}", cookies)
        for _ in range(_MOST_STEPS):
            answer = yield request
            _keep(cookies, answer)
            if answer.location.startswith(CALLBACK):
                sent = parse_qs(urlsplit(answer.location).query)
                if sent.get("state") != [state] or "code" not in sent:
                    raise UnexpectedAnswerError(answer)
                return client, verifier, sent["code"][0]
            if answer.location:
                parts = urlsplit(answer.location)
                request = self._get(f"{parts.path}?{parts.query}" if parts.query else parts.path, cookies)
            elif answer.status == 200 and (action := _ACTION.search(answer.text)):
                request = self._post(action[1], {**dict(_HIDDEN.findall(answer.text)), **self.spec["person"]}, cookies)
            else:
                break
        raise UnexpectedAnswerError(answer)

    def _redeem(self, client: str, verifier: str, code: str) -> Steps[None]:
        fields = {"grant_type": "authorization_code", "client_id": client, "redirect_uri": CALLBACK}
        answer = yield self._post(self.spec["token"], {**fields, "code": code, "code_verifier": verifier}, {})
        is_openid = "openid" in self.spec["scope"].split(" ")
        if answer.status != 200 or '"refresh_token"' not in answer.text or ('"id_token"' in answer.text) != is_openid:
            raise UnexpectedAnswerError(answer)

    def _client(self) -> str:
        """Every client once, where the walk is to be that of somebody who opens all of them; otherwise any."""
        clients, limit = self.spec["clients"], self.spec.get("limit")
        return f"shop-{limit % clients if self.spec.get('in_turn') else self._random.randrange(clients)}"

    def _query(self, client: str, verifier: str, state: str) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"response_type": "code", "client_id": client, "redirect_uri": CALLBACK, "scope": self.spec["scope"]}
        proof = {"code_challenge": digest, "code_challenge_method": "S256"}
        nonce = {"nonce": state} if "openid" in self.spec["scope"] else {}
        return urlencode({**asked, **proof, **nonce, "state": state})

    def _get(self, path: str, cookies: dict[str, str]) -> bytes:
        return f"GET {path} HTTP/1.1\r\n{self._headers(cookies)}\r\n".encode()

    def _post(self, path: str, fields: dict[str, str], cookies: dict[str, str]) -> bytes:
        body = urlencode(fields)
        length = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{self._headers(cookies)}{length}\r\n{body}".encode()

    def _headers(self, cookies: dict[str, str]) -> str:
        sent = f"Cookie: {_header(cookies)}\r\n" if cookies else ""
        return f"Host: {self.spec['host']}:{self.spec['port']}\r\n{sent}"


@dataclass(slots=True, eq=False)
class Browser(Connection):
    """A connection on which a flow is under way, begun at `due`."""

    steps: Steps[None] | None = None

    def begin(self, flows: Flows) -> bool:
        """Begins another flow; False when there is none left."""
        self.steps, self.due = flows.next(), time.perf_counter()
        if self.steps is not None:
            self.ask(next(self.steps))
        return self.steps is not None

    def ask(self, request: bytes) -> None:
        """Sends a request; it fits the socket's buffer."""
        self.received = b""
        self.socket.sendall(request)


def walk(spec: dict[str, Any], flows: Flows, count: Count, end: float) -> None:
    """Keeps every browser busy until `end` or until nothing is left, then waits for what is under way."""
    poll = select.epoll()
    browsers = {browser.fileno(): browser for browser in (Browser(connect(spec)) for _ in range(spec["connections"]))}
    waiting = 0
    for browser in browsers.values():
        poll.register(browser.fileno(), select.EPOLLIN)
        waiting += browser.begin(flows)
    while waiting and time.perf_counter() < end + DRAIN_SECONDS:
        for descriptor, _ in poll.poll(1.0):
            browser = browsers[descriptor]
            answer = browser.receive()
            if answer is None or _goes_on(browser, answer, count):
                continue
            if time.perf_counter() >= end or not browser.begin(flows):
                waiting -= 1


def _goes_on(browser: Browser, received: bytes, count: Count) -> bool:
    """Takes the next step of a flow; False when it was the last, and is counted."""
    assert browser.steps
    try:
        browser.ask(browser.steps.send(Answer.of(received)))
        return True
    except StopIteration:
        count.succeed(browser.due, time.perf_counter())
    except UnexpectedAnswerError as error:
        count.refuse(str(error))
    return False


def _header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def _keep(cookies: dict[str, str], answer: Answer) -> None:
    for pair in answer.cookies:
        name, _, value = pair.partition("=")
        cookies.pop(name, None)
        if value:
            cookies[name] = value


def main() -> None:
    """Runs one load and reports it."""
    spec = json.load(sys.stdin)
    flows, start = Flows(spec), time.perf_counter()
    # People who came at once stay in step, so a cut in time would count a batch more or less: all flows count, to the last.
    count = Count(start, float("inf"))
    walk(spec, flows, count, start + spec["seconds"])
    report(count, time.perf_counter() - start, start, (result.encode() for result in flows.results))


if __name__ == "__main__":
    main()
