"""Checks of sessions: does Redis hold any that ended, and did it lose any."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from identity.administration.doctor.findings import Found, good, repaired, warning
from identity.administration.doctor.patient import Patient
from identity.feed.picture import Picture
from identity.models import AuditEvent
from identity.tokens.refresh_token import Family

_LATELY = timedelta(days=1)
_AHEAD = "refresh_token.ahead_of_store"


async def lost_writes(patient: Patient) -> list[Found]:
    """No refresh token was newer than its session in Redis lately: that is how lost writes show."""
    seen = (await patient.sql.events_since(datetime.now(UTC) - _LATELY, [_AHEAD])).get(_AHEAD)
    if seen is None:
        return good("No refresh token was ahead of its session within a day.")
    return warning(
        f"{seen[0]} refresh tokens were ahead of their sessions within a day, last at {seen[1]:%H:%M} UTC: Redis lost writes. "
        "See its persistence and failovers."
    )


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """Sessions that should not be as they are: ended ones that live, and replayed ones that were not ended."""

    living: list[Family]
    replayed: list[Family]


async def unfinished(patient: Patient, fix: bool) -> list[Found]:
    """No session lives in Redis that was ended in SQL, and each that was found replayed is ended (A45, I2)."""
    unfinished, count = await _look(patient)
    found: list[Found] = []
    if unfinished.living:
        found += await _end_living(patient, unfinished.living, fix)
    if unfinished.replayed:
        found += await _end_replayed(patient, unfinished.replayed, fix)
    return found or good(f"{count} sessions in Redis; none that ended is among them.")


async def _look(patient: Patient) -> tuple[_Unfinished, int]:
    """There may be a million: only what is amiss is kept."""
    ended, living, replayed, count = await _ended(patient), [], [], 0
    async for family, is_replayed in patient.families.survey():
        count += 1
        if family.family in ended:
            living.append(family)
        elif is_replayed:
            replayed.append(family)
    # Asked again: whoever meets a replay marks the session in Redis first, and ends it in SQL a moment later.
    if replayed:
        ended, picture = await _ended(patient), await Picture.read(patient.journal)
        replayed = [each for each in replayed if each.family not in ended and not _is_over(each, picture)]
    return _Unfinished(living, replayed), count


async def _ended(patient: Patient) -> set[str]:
    return {each.grant_id for each in await patient.journal.ended_grants_after(0)}


def _is_over(family: Family, picture: Picture) -> bool:
    return picture.has_ended(family.family, family.subject, family.client_id, family.revision)


async def _end_living(patient: Patient, families: list[Family], fix: bool) -> list[Found]:
    what = f"{len(families)} sessions that were ended are still in Redis"
    if not fix:
        return warning(f"{what}; --fix ends them.")
    for each in families:
        await patient.families.end(each.family)
    return repaired(f"{what}: ended.")


async def _end_replayed(patient: Patient, families: list[Family], fix: bool) -> list[Found]:
    what = f"{len(families)} sessions were found replayed, and their access tokens are not revoked"
    if not fix:
        return warning(f"{what}; --fix does it.")
    for each in families:
        event = AuditEvent(
            event="refresh_token.replayed",
            actor=patient.actor,
            subject=each.subject,
            client_id=each.client_id,
            grant_id=each.family,
            detail="found by the doctor",
        )
        await patient.sessions.end(event)
    return repaired(f"{what}: done.")
