"""`GET /revocations`: the revocation feed, as verifiers read it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import structlog
from starlette.requests import Request
from starlette.responses import Response

from identity.feed.rules import Head
from identity.feed.stores import StoreUnavailableError
from identity.oauth.errors import InvalidRequest
from identity.oauth.registry import ProtectedResource
from identity.verifier.profile import COLUMNS, FEED_MAX_AGE, FEED_MAX_WAIT, MAX_PUBLISHED_KEYS
from identity.web.errors import NO_STORE
from identity.web.feed_answers import FeedAnswers
from identity.web.forms import read_client_credentials
from identity.web.services import Services

log = structlog.get_logger("identity.feed")

_MAX_POLLS = 2_000
"""Polls of resources that may wait in one process; each holds a connection and nothing else."""

_MAX_ANONYMOUS_POLLS = 1_000
"""Polls of strangers that may wait, where they may at all: counted apart, so that they never take a resource's place."""


_NAME = re.compile(r"[A-Za-z0-9._~-]{1,64}", re.ASCII)
"""An instance as verifiers name themselves, or a key's id: it shows in operators' terminals."""

_TURN = re.compile(r"[0-9]{1,15}", re.ASCII)

_WORTH_PACKING = 1_000
"""Bytes of rules above which compressing them pays: two thirds of a rule are its random digest."""


class _WaitingRoom:
    """Has places for so many polls and no more."""

    def __init__(self, places: int) -> None:
        self._free = places

    @contextmanager
    def place(self) -> Iterator[None]:
        """Takes a place for the block, or raises `StoreUnavailableError` when there is none."""
        if self._free <= 0:
            raise StoreUnavailableError("The revocation feed", "too many polls are waiting")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


@dataclass(frozen=True, slots=True)
class _Poll:
    """What a verifier asks: everything after `cursor`, within `wait` seconds, in rows or in `columns`; and what it says of
    itself, for operators."""

    cursor: Head | None
    wait: float
    columns: bool
    instance: str
    kids: tuple[str, ...]
    turn: int

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> _Poll:
        """Parses a query, or raises `InvalidRequest`. What only operators read is left out when it is malformed."""
        instance = parameters.get("instance", "")
        kids = (kid for kid in parameters.get("kids", "").split(",") if _NAME.fullmatch(kid))
        return cls(
            cursor=_cursor(parameters.get("cursor")),
            wait=_wait(parameters.get("wait")),
            columns=parameters.get("form") == COLUMNS,
            instance=instance if _NAME.fullmatch(instance) else "",
            kids=tuple(islice(kids, MAX_PUBLISHED_KEYS)),
            turn=int(turn) if _TURN.fullmatch(turn := parameters.get("turn", "")) else 0,
        )


class FeedEndpoint:
    """A long poll: answers at once with what the caller does not know yet, or waits until there is something.

    The answer says how old it is (`as_of_age`, seconds since this process last knew that it had seen everything). Above
    2 s there is no answer but 503: a verifier must never take a cut-off replica's silence for good news.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._resources, self._strangers = _WaitingRoom(_MAX_POLLS), _WaitingRoom(_MAX_ANONYMOUS_POLLS)
        self._told_of = ""
        follower = services.follower
        self._answers = FeedAnswers(lambda: follower.picture, lambda: follower.age)

    async def poll(self, request: Request) -> Response:
        """Answers the rules after `cursor`, waiting up to `wait` seconds for the first."""
        resource = await self._authenticate(request)
        poll = _Poll.of(request.query_params)
        room, cursor, follower = self._strangers, poll.cursor, self._services.follower
        if resource is not None:
            room = self._resources
            await self._report(resource, poll)
        if cursor is not None and self._is_ahead(cursor):
            with room.place():
                await follower.confirm_anew()
            if resource is not None and self._is_ahead(cursor):
                self._tell_of_lost_rules(resource.name, cursor)
        if cursor == follower.picture.head and poll.wait > 0:
            with room.place():
                await follower.wait_beyond(cursor, poll.wait)
        if follower.age > FEED_MAX_AGE:
            raise StoreUnavailableError("The revocation feed", "this process could not confirm its head")
        return await self._answer(cursor, poll.columns, _accepts_gzip(request))

    async def _authenticate(self, request: Request) -> ProtectedResource | None:
        """Returns who asks; nobody in particular where strangers may ask, too."""
        credentials = read_client_credentials(request)
        if credentials.client_id is None and self._services.settings.feed_public:
            return None
        return await self._services.authentication.resource(credentials)

    async def _report(self, resource: ProtectedResource, poll: _Poll) -> None:
        """The cursor of a poll is what its verifier has applied: here a rule is acknowledged."""
        if poll.instance:
            await self._services.verifiers.report(resource.name, poll.instance, poll.cursor, poll.kids, poll.turn)

    def _tell_of_lost_rules(self, resource: str, cursor: Head) -> None:
        """Says once, loudly, that SQL must have been restored to an earlier state. More is for an operator to do: a single
        resource must not be able to log everybody out."""
        if self._told_of == cursor.epoch:
            return
        self._told_of = cursor.epoch
        head = self._services.follower.picture.head
        log.error(
            "a verifier knows rules that SQL has lost; if it was restored, run `identity restored`",
            resource=resource,
            verifier=cursor.seq,
            sql=head.seq,
        )
        detail = f"{resource} has applied rule {cursor.seq}, SQL stands at {head.seq}"
        self._services.audit.record("verifier.ahead_of_feed", detail=detail)

    def _is_ahead(self, cursor: Head) -> bool:
        """Tells whether the caller knows more than this process. Another server was faster, as a rule: a snapshot from here
        would take back what that one told. Where SQL was set back, only a snapshot helps, but SQL must be asked first."""
        head = self._services.follower.picture.head
        return cursor.epoch == head.epoch and cursor.seq > head.seq

    async def _answer(self, cursor: Head | None, columns: bool, is_packed: bool) -> Response:
        """Returns the rules after `cursor`, or the whole picture where the cursor belongs to another history."""
        head = self._services.follower.picture.head
        if cursor is not None and (cursor.epoch != head.epoch or self._is_ahead(cursor)):
            cursor = None
        rules = await self._answers.rules_after(cursor, columns=columns)
        envelope = {
            "epoch": rules.head.epoch,
            "seq": rules.head.seq,
            "snapshot": cursor is None,
            "as_of_age": round(self._answers.age_of(rules), 3),
            "jwks_version": self._services.keys.now.published.version,
        }
        rest = json.dumps(envelope, separators=(",", ":")).encode()[1:]
        headers = {**NO_STORE, "Vary": "Accept-Encoding"}
        if not is_packed or len(rules.text) < _WORTH_PACKING:
            return Response(rules.plain(rest), 200, headers, "application/json")
        return Response(rules.compressed(rest), 200, {**headers, "Content-Encoding": "gzip"}, "application/json")


def _accepts_gzip(request: Request) -> bool:
    """Whoever does not ask for it by name gets it plain (RFC 9110 section 12.5.3)."""
    asked = (each.partition(";") for each in request.headers.get("accept-encoding", "").lower().split(","))
    return any(name.strip() == "gzip" and weight.replace(" ", "") not in ("q=0", "q=0.0") for name, _, weight in asked)


def _cursor(text: str | None) -> Head | None:
    epoch, separator, seq = (text or "").rpartition(".")
    if not text:
        return None
    if not separator or not seq.isascii() or not seq.isdecimal() or len(seq) > 18:
        raise InvalidRequest("The cursor is malformed.")
    return Head(epoch, int(seq))


def _wait(text: str | None) -> float:
    if text is None:
        return 0
    if not text.isascii() or not text.replace(".", "", 1).isdecimal():
        raise InvalidRequest("The parameter wait must be a number of seconds.")
    return min(float(text), FEED_MAX_WAIT)
