"""Asks a replica for everything, all the time, and notes what it says and when; see `test_cut_replica.py`.

All moments are of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import jwt
from orders import Program
from production import log_in
from wire import Answer, Wire

from identity.verifier import Credential
from identity.verifier.profile import RuleKind, rule_digest

ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Pair:
    """The addresses of both, the lines of one, and the credential of a resource."""

    cut: str
    whole: str
    lines: Program
    credential: Credential


@dataclass
class Rule:
    """A session that is ended: `committed_at` is when its end was certainly committed. Moments are monotonic."""

    token: str
    refresh_token: str
    committed_at: float = float("inf")
    last_accepted: float = float("-inf")

    @property
    def digest(self) -> str:
        grant = jwt.decode(self.token, options={"verify_signature": False})["grant_id"]
        return b64encode(rule_digest(RuleKind.GRANT, grant), b"-_").decode().rstrip("=")


@dataclass(frozen=True)
class Told:
    """A 200 answer of the feed. `listed` is what a snapshot holds, nothing for the answer to a cursor."""

    sent_at: float
    received_at: float
    age: float
    head: int
    listed: frozenset[str] | None

    def lacks(self, rule: Rule, seqs: dict[str, int]) -> bool:
        return self.head < seqs[rule.digest] or (self.listed is not None and rule.digest not in self.listed)


@dataclass(frozen=True)
class Answered:
    """Any answer."""

    sent_at: float
    received_at: float
    answer: Answer


@dataclass
class Watch:
    """Asks the cut replica for everything, all the time, and notes what it says and when."""

    pair: Pair
    connect: Callable[[str], Wire]
    told: list[Told] = field(default_factory=list)
    answers: dict[str, list[Answered]] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, spare: list[dict[str, str]]) -> None:
        """Asks until `done`; each kind of question has a connection of its own."""
        feed = self.every(0.05, "snapshot", self.snapshot), self.every(0.0, "poll", self.poll())
        public = self.every(0.1, "jwks", get("/.well-known/jwks.json")), self.every(0.05, "ready", get("/health/ready"))
        issuing = self.every(0.5, "login", log_in), self.every(1.0, "refresh", refresh_each(spare))
        await asyncio.gather(*feed, *public, *issuing, self.every(0.1, "introspect", self.introspect))

    async def every(self, pause: float, name: str, ask: Callable[[Wire], Awaitable[Answer]]) -> None:
        wire, noted = self.connect(self.pair.cut), self.answers.setdefault(name, [])
        while not self.done.is_set():
            sent_at = time.monotonic()
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await ask(wire)
            noted.append(Answered(sent_at, time.monotonic(), answer))
            await asyncio.sleep(pause if answer.status == 200 else max(pause, 0.1))

    async def snapshot(self, wire: Wire) -> Answer:
        return await self.asked(wire, "/revocations")

    def poll(self) -> Callable[[Wire], Awaitable[Answer]]:
        cursor = ""

        async def ask(wire: Wire) -> Answer:
            nonlocal cursor
            answer = await self.asked(wire, f"/revocations?wait=1{cursor}")
            if answer.status == 200:
                cursor = "&cursor={epoch}.{seq}".format(**answer.json())
            return answer

        return ask

    async def asked(self, wire: Wire, path: str) -> Answer:
        sent_at = time.monotonic()
        answer = await wire.request("GET", path, "", {"Authorization": self.pair.credential.authorization})
        if answer.status == 200:
            said = answer.json()
            listed = frozenset(rule[2] for rule in said["rules"]) if said["snapshot"] else None
            self.told.append(Told(sent_at, time.monotonic(), said["as_of_age"], said["seq"], listed))
        return answer

    async def introspect(self, wire: Wire) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        headers["Authorization"] = self.pair.credential.authorization
        return await wire.request("POST", "/introspect", "token=x", headers)

    async def issue_later(self, moment: float, spare: list[dict[str, str]]) -> None:
        """Begins to ask for tokens, and to end sessions, at this moment: who asked before may still wait for a store."""
        await asyncio.sleep(moment - time.monotonic())
        issuing = self.every(0.5, "late login", log_in), self.every(1.0, "late refresh", refresh_each(spare))
        await asyncio.gather(*issuing, self.every(2.0, "revoke", revoke_each(spare)))

    def between(self, name: str, since: float, until: float) -> list[Answered]:
        """Returns what was asked and answered within this time."""
        return [each for each in self.answers[name] if since <= each.sent_at and each.received_at <= until]


def get(path: str) -> Callable[[Wire], Awaitable[Answer]]:
    return lambda wire: wire.get(path)


def refresh_each(spare: list[dict[str, str]]) -> Callable[[Wire], Awaitable[Answer]]:
    """Refreshes one session, and another when that failed: where an answer was lost, a late repetition would be a replay."""

    async def ask(wire: Wire) -> Answer:
        token = spare.pop()["refresh_token"]
        answer = await wire.form("/token", grant_type="refresh_token", client_id="web", refresh_token=token)
        if answer.status == 200:
            spare.append(answer.json())
        return answer

    return ask


def revoke_each(spare: list[dict[str, str]]) -> Callable[[Wire], Awaitable[Answer]]:
    """Ends another session each time."""

    async def ask(wire: Wire) -> Answer:
        return await wire.form("/revoke", client_id="web", token=spare.pop(0)["refresh_token"])

    return ask
