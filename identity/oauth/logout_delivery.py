"""Telling clients that a login ended (OpenID Connect Back-Channel Logout 1.0 section 2.5), beside the endpoints.

Each notice reaches its client at least once, or is given up after `MOST_TRIES`; then the audit trail says so. What is told
again, because an answer was lost or a server died, has the same `jti`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from identity.feed.follower import Follower
from identity.feed.stores import StoreUnavailableError
from identity.keyring.live import LiveKeys, NoSignerError
from identity.models import LogoutNotice
from identity.oauth.errors import TemporarilyUnavailable
from identity.oauth.grants.pipeline import Audit
from identity.oauth.logout_notices import LogoutNotices
from identity.oauth.registry import RegisteredClient, Registry
from identity.oauth.subjects import Subjects
from identity.outbound.client import Outbound
from identity.outbound.errors import OutboundError
from identity.tokens.logout_token import LogoutTokenMint

_PAUSES: Final = (5, 15, 60, 180, 420, 900, 2000)
"""Seconds after each try that failed: a restart is over soon, an outage within the hour."""

MOST_TRIES: Final = len(_PAUSES) + 1

ANSWER_SECONDS: Final = 5.0
"""How long a client may take."""

_CLAIM_SECONDS: Final = 15
"""Longer than a try takes. After a crash, so long nobody else tries."""

_MOST_AT_ONCE: Final = 8
"""Clients told at once by one process, one notice after the other: as many may hang before anybody waits."""

_LOOK_SECONDS: Final = 5.0
_LEAST_PAUSE: Final = 0.25

log = structlog.get_logger("identity.logout")


class LogoutDelivery:
    """Delivers the notices. Whatever ends a login adds a rule to the feed, so this server looks when the feed moves."""

    def __init__(
        self,
        notices: LogoutNotices,
        registry: Registry,
        keys: LiveKeys,
        subjects: Subjects,
        mint: LogoutTokenMint,
        outbound: Outbound,
        audit: Audit,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._notices = notices
        self._registry = registry
        self._keys = keys
        self._subjects = subjects
        self._mint = mint
        self._outbound = outbound
        self._audit = audit
        self._clock = clock
        self._busy: set[str] = set()

    async def run(self, follower: Follower) -> None:
        """Delivers what is due, and what will be, until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            while True:
                head = follower.picture.head
                await self.look(lanes)
                await asyncio.sleep(_LEAST_PAUSE)
                if len(self._busy) < _MOST_AT_ONCE:
                    await follower.wait_beyond(head, _LOOK_SECONDS)

    async def look(self, lanes: asyncio.TaskGroup) -> None:
        """Begins with each client that is to be told something, as far as there is room for them."""
        for client_id in await self._waiting():
            self._busy.add(client_id)
            lanes.create_task(self._tell_everything(client_id))

    async def _waiting(self) -> Sequence[str]:
        try:
            return await self._notices.clients(self._now, _MOST_AT_ONCE - len(self._busy), self._busy)
        except StoreUnavailableError:
            return ()

    async def _tell_everything(self, client_id: str) -> None:
        """Tells a client all that is due, as long as somebody is there."""
        try:
            while notice := await self._notices.claim(client_id, self._now, self._now + _CLAIM_SECONDS):
                if not await self._tell(notice):
                    return
        except StoreUnavailableError:
            return  # The claim runs out by itself.
        except Exception as error:
            # Also one nobody foresaw: the others are to hear all the same, and this client when the claim has run out.
            log.error("a client could not be told of a logout", client_id=client_id, problem=type(error).__name__)
        finally:
            self._busy.discard(client_id)

    async def _tell(self, notice: LogoutNotice) -> bool:
        """Tries once; tells whether anybody was there, so that the next one is worth a try."""
        client = await self._registry.client(notice.client_id)
        if client is None or not client.is_enabled or not client.backchannel_logout_uri:
            await self._notices.remove(notice)
            return True
        if notice.attempts > MOST_TRIES:
            await self._give_up(notice, "nobody was there")
            return True
        try:
            status = await self._post(notice, client)
        except (OutboundError, NoSignerError, TemporarilyUnavailable) as error:
            due_at = await self._later(notice, str(error))
            await self._notices.postpone_due(notice.client_id, self._now, due_at)
            return False
        await self._take(notice, status)
        return True

    async def _post(self, notice: LogoutNotice, client: RegisteredClient) -> int:
        """A new token each time, because it lives two minutes, and an hour may have passed."""
        signer = self._keys.now.signer_for(client.id_token_signing_alg)
        subject = self._subjects.of(client, notice.subject)
        token = self._mint.mint(signer, notice.id, notice.client_id, subject, notice.session_id, self._now)
        return await self._outbound.post_form(client.backchannel_logout_uri, {"logout_token": token}, ANSWER_SECONDS)

    async def _take(self, notice: LogoutNotice, status: int) -> None:
        """Section 2.8: 200 (and 204) says that it is done, 400 that it never will be."""
        if status in (200, 204):
            await self._notices.remove(notice)
        elif status == 400:
            await self._give_up(notice, "the client refused it")
        else:
            await self._later(notice, f"status {status}")

    async def _later(self, notice: LogoutNotice, reason: str) -> int:
        """Returns when it is tried again: a little sooner or later than others, so that who was away is not met by everybody at
        once. After the last try that is now, for those that shared it, and they are given up as well."""
        if notice.attempts >= MOST_TRIES:
            await self._give_up(notice, reason)
            return self._now
        due_at = self._now + round(_PAUSES[notice.attempts - 1] * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        await self._notices.postpone(notice, due_at)
        return due_at

    async def _give_up(self, notice: LogoutNotice, reason: str) -> None:
        await self._notices.remove(notice)
        self._audit.record("logout.not_told", subject=notice.subject, client_id=notice.client_id, detail=reason)

    @property
    def _now(self) -> int:
        return int(self._clock())
