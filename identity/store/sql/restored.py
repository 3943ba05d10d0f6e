"""What happens to those who live longer than tokens when SQL was restored to an earlier state.

The rule that ends everything says nothing of people, clients and API keys: their rows are as they were at the backup.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from identity.models import ApiKey, AuditEvent, Client, User
from identity.verifier.profile import RuleKind, rule_digest


async def disable_ended(session: AsyncSession, ended: Collection[bytes]) -> list[AuditEvent]:
    """Disables every person and client, and revokes every API key, that `ended` names by a digest: after the backup they were
    disabled, or got another password, or had all they had ended, and nobody knows which. Returns the audit events (I2)."""
    if not ended:
        return []
    events = []
    for subject in (await session.scalars(select(User.subject).where(col(User.is_enabled)))).all():
        if rule_digest(RuleKind.SUBJECT, subject) in ended:
            await session.execute(update(User).where(col(User.subject) == subject).values(is_enabled=False))
            events.append(AuditEvent(event="user.disabled", subject=subject, detail="restored"))
    for client_id in (await session.scalars(select(Client.client_id).where(col(Client.is_enabled)))).all():
        if rule_digest(RuleKind.CLIENT, client_id) in ended:
            await session.execute(update(Client).where(col(Client.client_id) == client_id).values(is_enabled=False))
            events.append(AuditEvent(event="client.disabled", client_id=client_id, detail="restored"))
    for key in (await session.scalars(select(ApiKey).where(col(ApiKey.revoked_at).is_(None)))).all():
        if _names(key) & set(ended):
            key.revoked_at = datetime.now(UTC)
            events.append(AuditEvent(event="api_key.revoked", grant_id=key.key_id, detail="restored"))
    return events


async def renew_api_keys(session: AsyncSession, seq: int) -> None:
    """Lets the API keys that are left go on, as if they were made after rule `seq`."""
    await session.execute(update(ApiKey).where(col(ApiKey.revoked_at).is_(None)).values(revision=seq))


def _names(key: ApiKey) -> set[bytes]:
    owner = (RuleKind.SUBJECT, key.subject) if key.subject else (RuleKind.CLIENT, key.client_id or "")
    return {rule_digest(RuleKind.GRANT, key.key_id), rule_digest(*owner), rule_digest(RuleKind.EVERYTHING)}
