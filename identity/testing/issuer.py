"""The issuer a service is tested against: honest by default, and wrong in whatever way a test asks for."""

from __future__ import annotations

import json
import secrets
import threading
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from identity.testing.clock import MovableClock
from identity.testing.feed import LocalFeed
from identity.testing.keys import SigningKey, signing_key, to_json
from identity.testing.loopback import HOST, LoopbackServer, Reply
from identity.testing.proofs import ProofKey
from identity.verifier.profile import (
    ACCESS_TOKEN_TYPE,
    ALGORITHM,
    CONFIRMATION_CLAIM,
    FEED_METADATA,
    GRANT_CLAIM,
    JWKS_MAX_AGE,
    LARGEST_LEEWAY,
    MAX_ACCESS_TOKEN_LIFETIME,
    REVISION_CLAIM,
    RuleKind,
)

JWKS_PATH: Final = "/.well-known/jwks.json"
FEED_PATH: Final = "/revocations"
METADATA_PATHS: Final = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")

LIFETIME: Final = 600
"""Seconds a token lives unless something else is said."""

_LEARNING_SECONDS: Final = 5.0
_STRANGER: Final = 0
_SILENT: Final = -1


class LocalIssuer:
    """Serves metadata, keys and the revocation feed on loopback, to anyone, and mints tokens that need no login.

    Use it as a context manager, or call `start` and `stop`; `start` after `stop` is the same issuer on the same port. All
    methods may be called from any thread. `requests` counts what was asked for, by path; `audience` stands in tokens unless
    `aud` says otherwise; `clock` is the time tokens are minted at.
    """

    def __init__(self, audience: str, *, port: int = 0, jwks_max_age: int = JWKS_MAX_AGE) -> None:
        self.audience: Final = audience
        self.clock: Final = MovableClock()
        self.requests: Final[Counter[str]] = Counter()
        self._server: Final = LoopbackServer(self._respond, port)
        self._jwks_max_age = jwks_max_age
        self._keys = [signing_key(1), signing_key(2)]  # the current one, the next one, then the previous ones
        self._made = 2
        self._feed: Final = LocalFeed(self.current.kid)
        self._faults: dict[str | None, int] = {}
        self._recovered = threading.Event()
        self._counting = threading.Lock()

    @property
    def url(self) -> str:
        """The issuer identifier; known once it was started."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return self._keys[0]

    @property
    def next(self) -> SigningKey:
        """The published key that will sign after a rotation."""
        return self._keys[1]

    @property
    def previous(self) -> tuple[SigningKey, ...]:
        """The keys that signed before and are still published, the latest first."""
        return tuple(self._keys[2:])

    @property
    def revision(self) -> int:
        """The head of the feed, which a token minted now carries as `rev`."""
        return self._feed.head

    @property
    def stranger(self) -> SigningKey:
        """A key this issuer never published: an attacker's."""
        return signing_key(_STRANGER)

    def start(self) -> None:
        """Serves, from now on until `stop`."""
        self._feed.open()
        self._recovered = threading.Event()
        self._server.start()

    def stop(self) -> None:
        """Is gone: connections are cut and the port refuses new ones."""
        self._feed.close()
        self._recovered.set()
        self._server.stop()

    def __enter__(self) -> LocalIssuer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def token(
        self,
        sub: str = "alice",
        scopes: Collection[str] = (),
        *,
        expires_in: int = LIFETIME,
        typ: str = ACCESS_TOKEN_TYPE,
        key: SigningKey | None = None,
        bound_to: ProofKey | None = None,
        header: Mapping[str, object] | None = None,
        without: str | Collection[str] = (),
        **claims: object,
    ) -> str:
        """Mints an access token, right in everything that is not asked to be wrong.

        Seconds for `expires_in`, negative for an expired one. `key` signs instead of the current one and names itself in
        the header; `bound_to` is the client's key that the token is bound to (RFC 9449); `header` and `claims` replace or
        add members; `without` leaves claims out.
        """
        key = key or self.current
        left_out = {without} if isinstance(without, str) else set(without)
        said = {**self._claims(expires_in), "sub": sub, "scope": " ".join(scopes), **claims}
        if bound_to is not None:
            said.setdefault(CONFIRMATION_CLAIM, bound_to.confirmation.claim)
        payload = {name: value for name, value in said.items() if name not in left_out}
        return key.sign({"alg": ALGORITHM, "typ": typ, "kid": key.kid, **(header or {})}, payload)

    def rotate(self) -> None:
        """Lets the next key sign and publishes a new one; tokens of the previous key stay good."""
        current, next_, *previous = self._keys
        self._publish([next_, self._new_key(), current, *previous])

    def withdraw(self, key: SigningKey | None = None) -> None:
        """Takes a key back, the current one unless another is named: it is published no more, and a rule says never again."""
        key = key or self.current
        if key is self.current:
            self.rotate()
        elif key is self.next:
            self._keys[1] = self._new_key()
        self._feed.add(RuleKind.KEY, (key.kid,), None)
        self._publish([each for each in self._keys if each is not key])

    def revoke(
        self,
        token: str | None = None,
        *,
        everything: bool = False,
        aud_scope: tuple[str, str] | None = None,
        **ids: str,
    ) -> None:
        """Writes revocation rules: `revoke(token)` as a logout does, or by `jti`, `grant_id`, `sid`, `sub`, `client_id`,
        `aud_scope` or `everything`. Tokens minted afterwards are not meant."""
        if token is not None:
            ids[GRANT_CLAIM] = _claims_of(token)[GRANT_CLAIM]
        rules = [(RuleKind(name), (value,)) for name, value in ids.items()]
        self._write([*rules, *([(RuleKind.EVERYTHING, ())] if everything else [])])
        if aud_scope is not None:
            self._write([(RuleKind.AUDIENCE_SCOPE, aud_scope)])

    def wait_until_applied(self, seconds: float = _LEARNING_SECONDS) -> None:
        """Returns when a verifier has proved, by its next poll, that it knows every rule; raises `TimeoutError` otherwise.

        It blocks: in a coroutine, `await asyncio.to_thread(issuer.wait_until_applied)`.
        """
        if not self._feed.wait_until_applied(seconds):
            raise TimeoutError("nobody follows the revocation feed, or not fast enough")

    def fail(self, status: int = 503, *, path: str | None = None) -> None:
        """Answers with an error, at one path or at all of them, until `recover`."""
        self._faults[path] = status

    def hang(self, *, path: str | None = None) -> None:
        """Takes requests and never answers them, at one path or at all of them, until `recover`."""
        self._faults[path] = _SILENT

    def recover(self) -> None:
        """Answers as it should again. Requests that hang are closed without an answer."""
        self._faults.clear()
        recovered, self._recovered = self._recovered, threading.Event()
        recovered.set()

    def _claims(self, expires_in: int) -> dict[str, object]:
        now = int(self.clock())
        expires_at = now + expires_in
        issued_at = min(now, expires_at - min(LIFETIME, max(expires_in, 1)))
        ids = {"iss": self.url, "aud": self.audience, "client_id": "demo"}
        unique = {"jti": secrets.token_urlsafe(16), GRANT_CLAIM: secrets.token_urlsafe(16)}
        return {**ids, **unique, "iat": issued_at, "exp": expires_at, REVISION_CLAIM: self.revision}

    def _new_key(self) -> SigningKey:
        self._made += 1
        return signing_key(self._made)

    def _publish(self, keys: list[SigningKey]) -> None:
        self._keys = keys
        self._feed.announce_keys("-".join(key.kid[:8] for key in keys))

    def _write(self, rules: Collection[tuple[RuleKind, tuple[str, ...]]]) -> None:
        expires_at = int(self.clock()) + MAX_ACCESS_TOKEN_LIFETIME + LARGEST_LEEWAY
        for kind, values in rules:
            self._feed.add(kind, values, expires_at)

    def _respond(self, target: str) -> Reply | None:
        asked = urlsplit(target)
        with self._counting:
            self.requests[asked.path] += 1
        status = self._faults.get(asked.path, self._faults.get(None))
        if status == _SILENT:
            self._recovered.wait()
            return None
        if status is not None:
            return Reply(status)
        if asked.path in METADATA_PATHS:
            return Reply(body=to_json(self._metadata()))
        if asked.path == JWKS_PATH:
            return Reply(body=to_json({"keys": [key.jwk for key in self._keys]}), max_age=self._jwks_max_age)
        return (
            self._feed.answer(dict(parse_qsl(asked.query, keep_blank_values=True)))
            if asked.path == FEED_PATH
            else Reply(404)
        )

    def _metadata(self) -> dict[str, object]:
        addresses = {"issuer": self.url, "jwks_uri": self.url + JWKS_PATH, FEED_METADATA: self.url + FEED_PATH}
        return {**addresses, "token_endpoint": self.url + "/token", "response_types_supported": []}


def _claims_of(token: str) -> dict[str, str]:
    payload = token.split(".")[1]
    claims: dict[str, str] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
