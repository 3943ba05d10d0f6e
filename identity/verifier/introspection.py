"""Asking the issuer about a single token while the feed is silent (RFC 7662): bounded in time and in number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from identity.verifier.backoff import Backoff
from identity.verifier.compact import strict_json_object
from identity.verifier.errors import InvalidToken, Refusal, RevocationsStale
from identity.verifier.feed import Credential
from identity.verifier.issuer import FetchFailed, IssuerClient
from identity.verifier.observer import NOBODY, Telling

ASK_SECONDS: Final = 1.0
"""A question, discovery included, is over after this time."""

REMEMBER_SECONDS: Final = 1.0
"""How long an answer stands; a token that is revoked in between is accepted so much longer."""

MAX_QUESTIONS: Final = 32
"""Questions under way at once. Whoever comes when they are taken is refused, and not queued: the issuer is slow already."""

_MAX_ANSWER_BYTES: Final = 64 * 1024
_MAX_REMEMBERED: Final = 4096

log = logging.getLogger("identity.verifier")


class Introspector:
    """Knows for a second what the issuer said about a token. After a question that got no answer nobody asks for a moment, and
    then a single one, until there is an answer again: a dead issuer costs each pause one wait, not each request."""

    def __init__(self, credential: Credential, monotonic: Callable[[], float], telling: Telling = NOBODY) -> None:
        self._credential = credential
        self._telling = telling
        self._monotonic = monotonic
        self._client: IssuerClient | None = None
        self._answers: dict[bytes, tuple[bool, float]] = {}
        self._flights: dict[bytes, asyncio.Task[None]] = {}
        self._backoff = Backoff(0.5, 5.0)
        self._silent_until = float("-inf")
        self._failing = False

    def attach(self, client: IssuerClient) -> None:
        """Starts over with the connections of another event loop or process."""
        self._client = client
        self._flights = {}

    def under_way(self) -> tuple[asyncio.Task[None], ...]:
        """The questions that wait for their answer."""
        return tuple(self._flights.values())

    def allows(self, fingerprint: bytes) -> bool:
        """Tells whether the issuer said a moment ago that this token is active; `InvalidToken` if it said the opposite."""
        active, until = self._answers.get(fingerprint, (False, float("-inf")))
        if self._monotonic() >= until:
            return False
        if not active:
            raise InvalidToken(Refusal.REVOKED, "introspection")
        return True

    async def ask(self, token: str, fingerprint: bytes) -> None:
        """Returns when the issuer has said that the token is active.

        Raises `InvalidToken` when it is not, and `RevocationsStale` when the issuer cannot be asked or does not answer.
        """
        flight = self._flights.get(fingerprint)
        if flight is None:
            flight = self._start(token, fingerprint)
        await asyncio.shield(flight)  # a caller that is cancelled leaves the question to the others
        if not self.allows(fingerprint):
            raise RevocationsStale

    def _start(self, token: str, fingerprint: bytes) -> asyncio.Task[None]:
        places = 1 if self._failing else MAX_QUESTIONS
        if len(self._flights) >= places or self._monotonic() < self._silent_until:
            raise RevocationsStale
        flight = asyncio.get_running_loop().create_task(self._question(token, fingerprint))
        self._flights[fingerprint] = flight
        return flight

    async def _question(self, token: str, fingerprint: bytes) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                active = await self._put(token)
        except Exception as error:  # whatever it is, there is no answer
            self._note_failure(error)
        else:
            self._note_answer(fingerprint, active)
        finally:
            if self._flights.get(fingerprint) is asyncio.current_task():
                del self._flights[fingerprint]

    async def _put(self, token: str) -> bool:
        assert self._client is not None
        address = (await self._client.metadata(fresh=self._failing)).introspection
        if address is None:
            raise FetchFailed("the issuer offers no introspection")
        headers = {"Authorization": self._credential.authorization}
        answer = await self._client.post(address, {"token": token}, limit=_MAX_ANSWER_BYTES, headers=headers)
        active = strict_json_object(answer.body).get("active")
        if not isinstance(active, bool):
            raise FetchFailed("the answer does not say whether the token is active")
        return active

    def _note_answer(self, fingerprint: bytes, active: bool) -> None:
        if self._failing:
            log.warning("the issuer answers about tokens again")
        self._telling.tell(lambda observer: observer.introspected(failed=False))
        self._failing = False
        self._backoff.reset()
        # The oldest stand first, so making room costs no search.
        self._answers.pop(fingerprint, None)
        now = self._monotonic()
        while self._answers and (len(self._answers) >= _MAX_REMEMBERED or next(iter(self._answers.values()))[1] <= now):
            del self._answers[next(iter(self._answers))]
        self._answers[fingerprint] = (active, now + REMEMBER_SECONDS)

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            log.warning("the issuer cannot be asked about tokens: %s: %s", type(error).__name__, error)
        self._telling.tell(lambda observer: observer.introspected(failed=True))
        self._failing = True
        if self._monotonic() >= self._silent_until:  # questions that were asked together fail together
            self._silent_until = self._monotonic() + self._backoff.next()
