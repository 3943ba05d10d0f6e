"""Checks of who is out there: server processes, and the verifiers that follow them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from identity.administration.doctor.findings import Found, good, problem, warning
from identity.administration.doctor.patient import Patient
from identity.feed.rules import Head
from identity.feed.verifiers import LiveVerifier

_LATELY = timedelta(days=1)
_AHEAD, _RESTORED = "verifier.ahead_of_feed", "feed.restored"
_PATIENCE_SECONDS = 2.0
_LOOK_SECONDS = 0.2


async def servers(patient: Patient) -> list[Found]:
    """Every living server publishes the keys that the folder here says (K07)."""
    published = {record.kid for record in (await patient.keys.read()).published}
    living = await patient.publications.servers()
    if not living:
        return good("No server is running.")
    found: list[Found] = []
    for name, kids in sorted(living.items()):
        if published - set(kids):
            found += warning(f"The server {name} does not publish {' '.join(sorted(published - set(kids)))}.")
        if set(kids) - published:
            found += warning(f"The server {name} publishes {' '.join(sorted(set(kids) - published))}, unknown here.")
    return found or good(f"{len(living)} server processes live and publish the same {len(published)} keys.")


async def verifiers_behind(patient: Patient) -> list[Found]:
    """Every live verifier applies what is decided within two seconds, and holds the next key."""
    head, deadline = await patient.journal.head(), time.monotonic() + _PATIENCE_SECONDS
    while True:
        live = await patient.verifiers.live()
        late = [each for each in live if not each.has_applied(head)]
        if not late or time.monotonic() > deadline:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    found: list[Found] = []
    for each in late:
        found += warning(f"The verifier {each.name} is {_behind(each, head)}; it was heard of {each.silent:.0f} s ago.")
    following = (await patient.keys.read()).next
    is_published_long = time.time() - following.created_at > patient.facts.publication_seconds
    for each in live if is_published_long else ():
        if each.kids and following.kid not in each.kids:
            found += warning(f"The verifier {each.name} does not hold the next key: it holds up a rotation.")
    return found or good(f"{len(live)} verifiers live, and none is behind.")


async def verifiers_ahead(patient: Patient) -> list[Found]:
    """No verifier knows a rule that SQL does not: SQL would have been restored, and nobody said so (F25)."""
    live, head = await patient.verifiers.live(), await patient.journal.head()
    ahead = [
        each.name for each in live if each.applied and each.applied.epoch == head.epoch and each.applied.seq > head.seq
    ]
    seen = await patient.sql.events_since(datetime.now(UTC) - _LATELY, [_AHEAD, _RESTORED])
    restored = seen[_RESTORED][1] if _RESTORED in seen else None
    was_ahead = _AHEAD in seen and (restored is None or seen[_AHEAD][1] > restored)
    if ahead or was_ahead:
        who = ", ".join(ahead) or "A verifier"
        return problem(f"{who} knew rules that SQL has lost. If it was restored, run `identity restored`.")
    if restored is not None:
        return good(f"SQL was restored; everything issued before {restored:%Y-%m-%d %H:%M} UTC was ended then.")
    return good("No verifier knows more than SQL.")


def _behind(verifier: LiveVerifier, head: Head) -> str:
    if verifier.applied is None or verifier.applied.epoch != head.epoch:
        return "at the very beginning"
    return f"{head.seq - verifier.applied.seq} rules behind"
