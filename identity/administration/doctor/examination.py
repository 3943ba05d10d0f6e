"""The checks in order, and what becomes of them: 0 healthy, 1 something is left to do, 2 not everything could be seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from identity.administration.doctor import fleet, grounds, sessions, stores
from identity.administration.doctor.findings import Finding, Found, Verdict
from identity.administration.doctor.patient import Patient
from identity.feed.stores import StoreUnavailableError
from identity.keyring.states import KeyringError

Check = Callable[[Patient], Awaitable[list[Found]]]


def checks(fix: bool) -> dict[str, Check]:
    """Returns every check under its stable name. They only look, unless `fix`: then those that can put things right do what
    a running server does by itself. Nothing here ever ends what is not ended already."""
    return {
        "settings": grounds.settings,
        "keys.readable": grounds.keys_readable,
        "keys.encrypted": grounds.keys_encrypted,
        "keys.age": grounds.keys_age,
        "keys.algorithms": grounds.keys_algorithms,
        "disks": grounds.disks,
        "database": stores.database,
        "redis": stores.redis,
        "clocks": stores.clocks,
        "feed.head": partial(stores.feed_head, fix=fix),
        "sessions.lost_writes": sessions.lost_writes,
        "sessions.unfinished": partial(sessions.unfinished, fix=fix),
        "servers.keys": fleet.servers,
        "verifiers.behind": fleet.verifiers_behind,
        "verifiers.ahead": fleet.verifiers_ahead,
    }


async def examine(patient: Patient, fix: bool = False) -> list[Finding]:
    """Returns what every check found. One that cannot look, because a store is away or the keys cannot be read, says so and
    holds up none of the others."""
    findings: list[Finding] = []
    for name, check in checks(fix).items():
        try:
            found = await check(patient)
        except (StoreUnavailableError, KeyringError, OSError) as error:
            found = [Found(Verdict.UNKNOWN, f"This could not be looked at: {error}")]
        except Exception as error:  # A patient may be ill in ways that nobody foresaw; what it says may hold a secret.
            found = [Found(Verdict.UNKNOWN, f"This could not be looked at: {type(error).__name__}")]
        findings += [Finding(name, each.verdict, each.sentence) for each in found]
    return findings


def exit_code(findings: Sequence[Finding]) -> int:
    """Returns 0 when all is well (now), 1 when something is left to do, 2 when not everything could be looked at."""
    verdicts = {each.verdict for each in findings}
    if Verdict.UNKNOWN in verdicts:
        return 2
    return 1 if verdicts & {Verdict.WARNING, Verdict.PROBLEM} else 0
