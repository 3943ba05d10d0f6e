"""A process with many verifiers: shows each of them one token, over and over, and tells when each refused it.

    python watchers.py ISSUER AUDIENCE CREDENTIAL COUNT

Reads a token from each line of standard input. Writes a line when every verifier has accepted it, and then one with the
moments (the machine's monotonic clock) at which each refused it for being revoked; null for one that never did.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from identity.verifier import Credential, InvalidToken, Refusal, Verifier

LOOK_SECONDS = 0.002
PATIENCE_SECONDS = 10.0


async def main(issuer: str, audience: str, credential: str, count: int) -> None:
    """Answers one line after the other until standard input ends."""
    name, _, secret = credential.partition(":")
    verifiers = [Verifier(issuer, audience, credential=Credential(name, secret)) for _ in range(count)]
    while line := await asyncio.to_thread(sys.stdin.readline):  # In a thread: polls go on meanwhile.
        token = line.strip()
        await asyncio.gather(*(verifier.verify(token) for verifier in verifiers))
        tell("accepted")
        tell(await refusals(verifiers, token))
    for verifier in verifiers:
        await verifier.aclose()


async def refusals(verifiers: list[Verifier], token: str) -> list[float | None]:
    """Returns when each verifier refused the token."""
    moments: list[float | None] = [None] * len(verifiers)
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while None in moments and time.monotonic() < ends_at:
        for index, verifier in enumerate(verifiers):
            if moments[index] is None and await is_revoked(verifier, token):
                moments[index] = time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)
    return moments


async def is_revoked(verifier: Verifier, token: str) -> bool:
    """Any other refusal is an error of the experiment, and ends it."""
    try:
        await verifier.verify(token)
    except InvalidToken as refused:
        if refused.code != Refusal.REVOKED:
            raise
        return True
    return False


def tell(value: object) -> None:
    """Writes one line."""
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    issuer, audience, credential, count = sys.argv[1:]
    asyncio.run(main(issuer, audience, credential, int(count)))
