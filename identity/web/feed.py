"""`GET /revocations`: the revocation feed, as verifiers read it."""

from __future__ import annotations

import base64
import json
import time

from starlette.requests import Request
from starlette.responses import Response

from identity.feed.rules import Head, NumberedRule
from identity.feed.stores import StoreUnavailableError
from identity.oauth.errors import InvalidRequest
from identity.verifier.profile import FEED_MAX_AGE, FEED_MAX_WAIT
from identity.web.errors import NO_STORE
from identity.web.forms import read_client_credentials
from identity.web.services import Services

_MAX_POLLS = 2_000
"""Polls that may wait in one process; each holds a connection and nothing else."""


class FeedEndpoint:
    """A long poll: answers at once with what the caller does not know yet, or waits until there is something.

    The answer says how old it is (`as_of_age`, seconds since this process last knew that it had seen everything). Above
    2 s there is no answer but 503: a verifier must never take a cut-off replica's silence for good news.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting = 0
        self._built: tuple[tuple[Head, Head | None], bytes] | None = None

    async def poll(self, request: Request) -> Response:
        """Answers the rules after `cursor`, waiting up to `wait` seconds for the first."""
        await self._authenticate(request)
        cursor, wait = _cursor(request.query_params.get("cursor")), _wait(request.query_params.get("wait"))
        follower = self._services.follower
        if cursor == follower.picture.head and wait > 0:
            await self._wait_beyond(cursor, wait)
        if follower.age > FEED_MAX_AGE:
            raise StoreUnavailableError("The revocation feed", "this process could not confirm its head")
        return Response(self._answer(cursor), 200, NO_STORE, "application/json")

    async def _authenticate(self, request: Request) -> None:
        credentials = read_client_credentials(request)
        if credentials.client_id is None and self._services.settings.feed_public:
            return
        await self._services.authentication.resource(credentials)

    async def _wait_beyond(self, cursor: Head, wait: float) -> None:
        if self._waiting >= _MAX_POLLS:
            raise StoreUnavailableError("The revocation feed", "too many polls are waiting")
        self._waiting += 1
        try:
            await self._services.follower.wait_beyond(cursor, wait)
        finally:
            self._waiting -= 1

    def _answer(self, cursor: Head | None) -> bytes:
        """Builds the answer; the rules' part is built once for all verifiers that stand at the same cursor."""
        follower = self._services.follower
        head = follower.picture.head
        if cursor is not None and (cursor.epoch != head.epoch or cursor.seq > head.seq):
            cursor = None
        if self._built is None or self._built[0] != (head, cursor):
            rules = follower.picture.since(cursor.seq if cursor else 0, time.time())
            self._built = ((head, cursor), json.dumps([_wire(rule) for rule in rules], separators=(",", ":")).encode())
        envelope = {
            "epoch": head.epoch,
            "seq": head.seq,
            "snapshot": cursor is None,
            "as_of_age": round(follower.age, 3),
            "jwks_version": self._services.keys.now.published.version,
        }
        return json.dumps(envelope, separators=(",", ":")).encode()[:-1] + b',"rules":' + self._built[1] + b"}"


def _wire(rule: NumberedRule) -> list[object]:
    digest = base64.urlsafe_b64encode(rule.digest).rstrip(b"=").decode()
    return [rule.seq, rule.kind, digest, rule.expires_at]


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
