"""Where a service is tried: a throw-away issuer it trusts, an attacker's address it should never visit, and the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from identity.checking.attacks.attack import Level
from identity.checking.findings import Finding, expect
from identity.checking.material import Material, Request, bearer
from identity.checking.service import Answer, CannotCheck, Service
from identity.testing import LocalIssuer, SigningKey
from identity.testing.issuer import FEED_PATH, JWKS_PATH
from identity.testing.keys import to_json
from identity.testing.loopback import HOST, LoopbackServer, Reply

JWKS_MAX_AGE: Final = 5
"""Seconds services may cache the keys of the throw-away issuer: the next run has other keys."""

_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """What is checked, and for how long at most; all times in seconds."""

    url: str
    audience: str
    scopes: tuple[str, ...]
    subject: str
    method: str
    issuer_port: int
    patience: float
    """Until a good token must be accepted."""

    follow_bound: float = 6.0
    """Until a service that follows the feed has asked for it: while there was no issuer, its pauses grew."""

    revocation_bound: float = 2.0
    """Until a revoked token must be refused, by a service that follows the feed."""

    withdrawal_bound: float = 2.0 * JWKS_MAX_AGE
    """Until a token of a withdrawn key must be refused, by a service that does not."""

    time_limit: float = 300.0
    """For everything."""


class Elsewhere:
    """An address of the attacker's, which publishes the attacker's key for whoever asks, and counts who does."""

    def __init__(self, stranger: SigningKey) -> None:
        self._stranger = stranger
        self._server = LoopbackServer(self._respond)
        self._counting = threading.Lock()
        self.visits = 0

    @property
    def url(self) -> str:
        """The address."""
        return f"http://{HOST}:{self._server.port}"

    def _respond(self, _: str) -> Reply:
        with self._counting:
            self.visits += 1
        found = {"issuer": self.url, "jwks_uri": self.url + JWKS_PATH, "keys": [self._stranger.jwk]}
        return Reply(body=to_json(found))

    def __enter__(self) -> Elsewhere:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything a check works with."""

    plan: Plan
    service: Service
    issuer: LocalIssuer
    elsewhere: Elsewhere
    deadline: float

    def send(self, request: Request) -> Answer:
        """Sends a request, unless the time for the whole run is over."""
        if time.monotonic() > self.deadline:
            raise CannotCheck(f"the checks are not finished after {self.plan.time_limit:.0f} s")
        return self.service.send(request)

    def try_token(self, token: str) -> Answer:
        """Sends a token as a client would."""
        return self.send(bearer(token))

    def good_token(self, **claims: object) -> str:
        """Returns a token that must be accepted."""
        return self.issuer.token(self.plan.subject, self.plan.scopes, **claims)  # type: ignore[arg-type]

    def material(self) -> Material:
        """Returns what attacks are made of, as of now."""
        issuer, plan = self.issuer, self.plan
        return Material(
            issuer=issuer.url,
            audience=plan.audience,
            subject=plan.subject,
            scopes=plan.scopes,
            revision=issuer.revision,
            now=int(issuer.clock()),
            key=issuer.current,
            other=issuer.next,
            stranger=issuer.stranger,
            elsewhere=self.elsewhere.url,
        )

    def is_followed(self, seconds: float = 0.0) -> bool:
        """Tells whether the service has asked for revocations, or does so in time."""
        end = time.monotonic() + seconds
        while not self.issuer.requests[FEED_PATH] and time.monotonic() < end:
            time.sleep(_PAUSE)
        return self.issuer.requests[FEED_PATH] > 0

    def answer_until(self, token: str, *, is_success: bool, seconds: float) -> Answer:
        """Returns the first answer of the wanted kind, or the last one when the time is over."""
        end = time.monotonic() + seconds
        while (answer := self.try_token(token)).is_success is not is_success and time.monotonic() < end:
            time.sleep(_PAUSE)
        return answer

    def control(self, after: str, token: str | None = None) -> Finding:
        """Checks that a good token is still accepted; refused good tokens would make every attack look withstood."""
        answer = self.try_token(token or self.good_token())
        return expect(
            f"good-token-after-{after}", "-", Level.MUST, "a good token", "accepted", answer, answer.is_success
        )


@contextmanager
def opened(plan: Plan) -> Iterator[Bench]:
    """Yields a bench whose issuer serves until the block ends."""
    service = Service(plan.url, plan.method)
    issuer = LocalIssuer(plan.audience, port=plan.issuer_port, jwks_max_age=JWKS_MAX_AGE)
    try:
        issuer.start()
    except OSError as error:
        raise CannotCheck(f"port {plan.issuer_port} is in use; choose another with --issuer-port") from error
    try:
        with Elsewhere(issuer.stranger) as elsewhere:
            yield Bench(plan, service, issuer, elsewhere, time.monotonic() + plan.patience + plan.time_limit)
    finally:
        issuer.stop()
