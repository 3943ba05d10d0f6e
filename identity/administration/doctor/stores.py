"""Checks of the two stores: can they be reached, are they fit, do they agree."""

from __future__ import annotations

import asyncio

from identity.administration.doctor.findings import Found, good, problem, repaired, warning
from identity.administration.doctor.patient import Patient
from identity.feed.clocks import LARGEST_SKEW, skew_of

_OLDEST_REDIS = 7
_LOOKS = 4
_BETWEEN_LOOKS_SECONDS = 0.5
"""A rule takes some milliseconds from SQL to Redis, and a server that finds it missing half a second to bring it."""


async def database(patient: Patient) -> list[Found]:
    """The database has this version's tables, and nothing of a demo in production."""
    revision, wrong = await patient.sql.tables()
    if wrong:
        return problem(wrong)
    if patient.facts.is_production and (demo := await patient.sql.demo_rows()):
        return problem(f"The database holds demo rows ({', '.join(demo)}); `identity serve` refuses to start on it.")
    return good(f"The database is at revision {revision}.")


async def clocks(patient: Patient) -> list[Found]:
    """This machine's clock agrees with the stores' (F14)."""
    found: list[Found] = []
    for name, store in patient.clocks.items():
        skew = await skew_of(store)
        says = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
        if abs(skew) > LARGEST_SKEW:
            found += problem(f"The clock of {name} is {says}; servers here are not ready until it is put right.")
        else:
            found += good(f"The clock of {name} agrees with this machine's.")
    return found


async def redis(patient: Patient) -> list[Found]:
    """Every node of Redis is new enough, drops nothing, and survives a restart."""
    nodes = await patient.redis.facts()
    if not nodes:
        return good("Sessions are kept inside the process: they end with it.")
    return [found for node in nodes for found in _judged(node)]


def _judged(facts: dict[str, str]) -> list[Found]:
    version = facts.get("valkey_version") or facts.get("redis_version", "")
    name = f"{'Valkey' if 'valkey_version' in facts else 'Redis'} {version}"
    if int(version.partition(".")[0] or 0) < _OLDEST_REDIS:
        return problem(f"{name} is too old; 7.0 or newer, or any Valkey, is needed.")
    found: list[Found] = []
    if (policy := facts.get("maxmemory_policy", "noeviction")) != "noeviction":
        found += problem(f"{name} may evict sessions (maxmemory-policy {policy}); set it to noeviction.")
    if facts.get("aof_enabled") == "0":
        found += warning(f"{name} has no append-only file: a restart logs everybody out. Set appendonly to yes.")
    replicas = facts.get("connected_slaves", "0")
    if replicas != "0" and "min_slaves_good_slaves" not in facts:
        found += warning(
            f"{name} takes writes without its {replicas} replicas: a failover may lose some. Set min-replicas-to-write to 1."
        )
    return found or good(f"{name} evicts nothing and keeps an append-only file; replicas: {replicas}.")


async def feed_head(patient: Patient, fix: bool) -> list[Found]:
    """Redis has heard of every rule, and SQL has forgotten none."""
    for look in range(_LOOKS):
        # Redis first: SQL only moves forward, so a Redis that is ahead of it really saw rules that SQL has lost.
        told, decided = await patient.stream.head(), await patient.journal.head()
        if max(told.seq if told else 0, patient.facts.high_water) > decided.seq:
            return problem(
                f"SQL stands at rule {decided.seq}, behind what was seen already: it was restored to an earlier state. A "
                "server that starts ends everything issued before; `identity restored` does it now."
            )
        if told == decided or (told is None and not decided.seq):
            return good(f"SQL and Redis stand at rule {decided.seq}.")
        if look < _LOOKS - 1:
            await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
    behind = f"Redis stood at {f'rule {told.seq}' if told else 'nothing'}, SQL at rule {decided.seq}"
    if not fix:
        return warning(f"{behind}; the next server to run brings it up, or --fix.")
    head = await patient.ledger.catch_up()
    return repaired(f"{behind}; both stand at rule {head.seq} now.")
