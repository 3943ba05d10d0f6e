"""A process with many verifiers: shows each of them every token it is given, over and over, until the token expires.

    python many_verifiers.py ISSUER AUDIENCE CREDENTIAL COUNT COOLDOWN

Every second verifier follows the feed with the credential, the others know the JWKS alone; they start at random moments,
so the keys they hold are of different ages. Reads a token from each line of standard input. Writes a line when every
verifier has accepted a token, and one for each of them, with what it counted, when standard input ends.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass

from identity.verifier import Credential, VerificationError, Verifier

LEEWAY = 1.0
START_SECONDS = 1.0
ROUND_SECONDS = (0.2, 0.6)


@dataclass(frozen=True)
class Token:
    """What can be read in a token without verifying it."""

    text: str
    kid: str
    expires_at: int

    @classmethod
    def of(cls, text: str) -> Token:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in text.split(".")[:2])
        return cls(text, header["kid"], claims["exp"])


class Fetches:
    """The observer of one verifier: counts how often it fetched the keys."""

    def __init__(self) -> None:
        self.good = self.failed = 0

    def keys_fetched(self, *, failed: bool) -> None:
        self.failed += failed
        self.good += not failed

    def accepted(self, *, stale: bool) -> None: ...

    def refused(self, code: str) -> None: ...

    def feed_polled(self, *, failed: bool) -> None: ...

    def introspected(self, *, failed: bool) -> None: ...


class Service:
    """One verifier and what it was shown. `met` counts the tokens of a key that it did not hold yet, `most_stale` is the oldest
    its picture of the feed ever was, in seconds."""

    def __init__(self, issuer: str, audience: str, credential: Credential | None, cooldown: float) -> None:
        self.kind = "JWKS alone" if credential is None else "follows the feed"
        self.fetches = Fetches()
        self.verifications = self.met = 0
        self.refused: Counter[str] = Counter()
        self.kids: set[str] = set()
        self.most_stale = self._began_at = 0.0
        self._verifier = Verifier(
            issuer, audience, credential=credential, leeway=LEEWAY, cooldown=cooldown, observer=self.fetches
        )

    async def work(self, living: deque[Token], done: asyncio.Event) -> None:
        """Is shown all living tokens, rests, and so on until `done`."""
        await asyncio.sleep(random.uniform(0, START_SECONDS))
        self._began_at = time.monotonic()
        async with self._verifier:
            while not done.is_set():
                for token in tuple(living):
                    if time.time() < token.expires_at:
                        await self._look(token)
                staleness = self._verifier.status().feed_staleness or 0.0
                self.most_stale = max(self.most_stale, staleness if staleness < math.inf else 0.0)
                await asyncio.sleep(random.uniform(*ROUND_SECONDS))

    async def _look(self, token: Token) -> None:
        """A refusal counts unless the token expired before it was spoken."""
        if token.kid not in self.kids:
            held = self._verifier.status().key_ids
            self.met += bool(held) and token.kid not in held
        self.verifications += 1
        try:
            await self._verifier.verify(token.text)
            self.kids.add(token.kid)
        except VerificationError as refused:
            if time.time() < token.expires_at:
                self.refused[str(refused.code)] += 1

    def counted(self) -> dict[str, object]:
        """What is told of it at the end."""
        return {
            "kind": self.kind,
            "verifications": self.verifications,
            "refused": self.refused,
            "met": self.met,
            "kids": sorted(self.kids),
            "fetches": self.fetches.good,
            "failed_fetches": self.fetches.failed,
            "most_stale": self.most_stale,
            "seconds": time.monotonic() - self._began_at,
        }


async def main(issuer: str, audience: str, credential: str, count: int, cooldown: float) -> None:
    """Shows tokens until standard input ends."""
    known = Credential(*credential.split(":", 1))
    services = [Service(issuer, audience, None if turn % 2 else known, cooldown) for turn in range(count)]
    living: deque[Token] = deque()
    done, told = asyncio.Event(), False
    work = [asyncio.create_task(service.work(living, done)) for service in services]
    while line := await asyncio.to_thread(sys.stdin.readline):  # In a thread: verifiers go on meanwhile.
        living.append(Token.of(line.strip()))
        while living and living[0].expires_at <= time.time():
            living.popleft()
        if not told and all(service.kids for service in services):
            told = True
            print(json.dumps("all accept"), flush=True)
    done.set()
    await asyncio.gather(*work)
    for service in services:
        print(json.dumps(service.counted()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5])))
