"""The SQL tables, one file for each thing kept: what must outlive Redis. Nothing but SQLModel and the standard library."""

from identity.models.api_key import ApiKey
from identity.models.audit_event import AuditEvent
from identity.models.client import Client
from identity.models.compatibility import Compatibility
from identity.models.consent import Consent
from identity.models.initial_access_token import InitialAccessToken
from identity.models.keys import KeyringRow, SealedKey
from identity.models.logout_notice import LogoutNotice
from identity.models.resource import Resource
from identity.models.revocation import FeedHead, RevocationRule
from identity.models.role import Role
from identity.models.user import User, UserRole

__all__ = [
    "ApiKey",
    "AuditEvent",
    "Client",
    "Compatibility",
    "Consent",
    "FeedHead",
    "InitialAccessToken",
    "KeyringRow",
    "LogoutNotice",
    "Resource",
    "RevocationRule",
    "Role",
    "SealedKey",
    "User",
    "UserRole",
]
