"""Logging a person in with a password: the one way in, for every form and grant there is (A43, U04, U05)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from identity.accounts.names import username_key
from identity.accounts.passwords import Passwords, TooBusyError


@dataclass(frozen=True, slots=True)
class Account:
    """What a login needs of an account."""

    subject: str
    password_hash: str | None
    is_enabled: bool


class Accounts(Protocol):
    """Finds accounts by name, and never from memory: a password changed a moment ago counts."""

    async def by_name(self, key: str) -> Account | None:
        """Returns the account with this normalised name."""

    async def store_hash(self, subject: str, old: str, new: str) -> None:
        """Replaces a password hash by a stronger one of the same password, if it is still `old`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An attempt that must not be evaluated: the seconds to wait, whose limit was reached (`account` or `address`), and
    whether this is the first that is refused for it in this window."""

    retry_after: float
    limit: str
    is_first: bool


class Throttle(Protocol):
    """Counts attempts, atomically and before they are evaluated: of 200 sent at once no more than the limit are tried."""

    async def admit(self, account: str, address: str) -> Refusal | None:
        """Counts one attempt; returns None, or why it must not be evaluated."""

    async def succeeded(self, account: str, address: str) -> None:
        """Gives the attempt back, and remembers that this person logs in from this address."""

    async def not_evaluated(self, account: str, address: str) -> None:
        """Gives the attempt back: nobody looked at the password."""


class WrongCredentialsError(Exception):
    """No such account, wrong password, or disabled: nobody learns which, by text or by time. `subject` is for the audit."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(reason)
        self.subject = subject
        self.reason = reason


class TooManyAttemptsError(Exception):
    """The attempt was not evaluated, because too many were made. `alert` says whose limit was reached, the first time in a
    window; then `subject` is the person under attack, if it is one."""

    def __init__(self, retry_after: float, alert: str = "", subject: str = "") -> None:
        super().__init__()
        self.retry_after = retry_after
        self.alert = alert
        self.subject = subject


class Login:
    """Checks passwords, at a rate and at a cost that give nothing away."""

    def __init__(self, accounts: Accounts, passwords: Passwords, throttle: Throttle) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._throttle = throttle

    async def authenticate(self, username: str, password: str, address: str) -> str:
        """Returns the subject of the person, or raises `WrongCredentialsError`, `TooManyAttemptsError`, `TooBusyError`."""
        self._passwords.require_room()
        key = username_key(username)
        if refusal := await self._throttle.admit(key, address):
            raise await self._too_many(refusal, key)
        account = await self._accounts.by_name(key)
        stored = account.password_hash if account else None
        try:
            matches = await self._passwords.verify(stored, password)
        except TooBusyError:
            # Whoever tries again, as they are told to, would else be locked out by whoever keeps the queue full.
            await self._throttle.not_evaluated(key, address)
            raise
        if not matches or account is None or stored is None:
            raise WrongCredentialsError(
                account.subject if account else "", "wrong password" if account else "no account"
            )
        if not account.is_enabled:
            raise WrongCredentialsError(account.subject, "disabled")
        await self._throttle.succeeded(key, address)
        if self._passwords.needs_rehash(stored):
            with suppress(TooBusyError):  # The password was right; the next login renews its hash.
                await self._accounts.store_hash(account.subject, stored, await self._passwords.hash(password))
        return account.subject

    async def _too_many(self, refusal: Refusal, key: str) -> TooManyAttemptsError:
        if not refusal.is_first:
            return TooManyAttemptsError(refusal.retry_after)
        account = await self._accounts.by_name(key) if refusal.limit == "account" else None
        return TooManyAttemptsError(refusal.retry_after, refusal.limit, account.subject if account else "")
