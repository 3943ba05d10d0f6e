"""The revocation feed of a test's issuer: the same long poll, in the same format, without a store behind it."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping
from typing import Final

from identity.testing.keys import base64url, to_json
from identity.testing.loopback import Reply
from identity.verifier.profile import FEED_MAX_WAIT, RuleKind, rule_digest

_CURSOR: Final = re.compile(r"(.*)\.([0-9]{1,18})", re.DOTALL)
_SECONDS: Final = re.compile(r"(?=.*[0-9])[0-9]*\.?[0-9]*")
_MALFORMED: Final = Reply(400, to_json({"error": "invalid_request"}))


class LocalFeed:
    """Rules in the order they were written, and polls that wait for the next one. Safe to use from any thread."""

    def __init__(self, jwks_version: str) -> None:
        self._jwks_version = jwks_version
        self._epoch = secrets.token_urlsafe(9)
        self._rules: list[tuple[int, str, str, int | None]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._applied = -1
        self.head = 0

    def add(self, kind: RuleKind, values: tuple[str, ...], expires_at: int | None) -> None:
        """Writes a rule and answers the polls that wait. `expires_at` in Unix seconds; absent: never."""
        digest = base64url(rule_digest(kind, *values))
        with self._changed:
            self.head += 1
            self._rules.append((self.head, kind.value, digest, expires_at))
            self._changed.notify_all()

    def announce_keys(self, jwks_version: str) -> None:
        """Tells of new keys. They take a number, so that a poll which just ended misses nothing."""
        with self._changed:
            self.head += 1
            self._jwks_version = jwks_version
            self._changed.notify_all()

    def answer(self, asked: Mapping[str, str]) -> Reply | None:
        """Answers a poll, when there is something to tell or its time is over; never once the issuer has stopped."""
        cursor, wait = _CURSOR.fullmatch(asked.get("cursor", "")), asked.get("wait", "0")
        if not _SECONDS.fullmatch(wait) or (asked.get("cursor") and cursor is None):
            return _MALFORMED
        epoch, seq = (cursor[1], int(cursor[2])) if cursor else ("", 0)
        with self._changed:
            if is_known := epoch == self._epoch and seq <= self.head:
                self._applied = max(self._applied, seq)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or self.head > seq, min(float(wait), FEED_MAX_WAIT))
            return None if self._closed else Reply(body=self._told(seq if is_known else None))

    def wait_until_applied(self, seconds: float) -> bool:
        """Returns true once somebody polled with the head as cursor, which proves that they know every rule."""
        with self._changed:
            return self._changed.wait_for(lambda: self._applied >= self.head, seconds)

    def open(self) -> None:
        """Answers polls, from now on those of another process of the server: nobody has proved anything to it."""
        with self._changed:
            self._closed, self._applied = False, -1

    def close(self) -> None:
        """Ends every waiting poll."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _told(self, since: int | None) -> bytes:
        rules = [rule for rule in self._rules if rule[0] > (since or 0)]
        told = {"epoch": self._epoch, "seq": self.head, "snapshot": since is None, "as_of_age": 0.0}
        return to_json({**told, "jwks_version": self._jwks_version, "rules": rules})
