"""The keys a running server holds, and how it notices that the folder changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from identity.keyring.folder import KeyFolder, KeyringConflictError
from identity.keyring.publication import Publications
from identity.keyring.signers import PublishedKeys, RefreshAuthenticator, Signer, rsa_public_key
from identity.keyring.states import Keyring, KeyringError, KeyState

RELOAD_SECONDS = 1.0
"""A running server signs and publishes by a changed keyring within this time (promised: 5 s)."""

log = structlog.get_logger("identity.keyring")


@dataclass(frozen=True, slots=True)
class LoadedKeys:
    """One version of the keyring, ready for use: what signs and what is published change together, never one alone."""

    keyring: Keyring
    signer: Signer
    authenticator: RefreshAuthenticator
    published: PublishedKeys
    public_keys: dict[str, RSAPublicKey]
    _private: dict[str, RSAPrivateKey] = field(repr=False)
    _refresh: dict[str, bytes] = field(repr=False)


def load_keys(folder: KeyFolder, known: LoadedKeys | None = None) -> LoadedKeys:
    """Loads the keyring, or raises `KeyringError`. Keys in `known` are not read again.

    The next key is loaded too, long before it signs: a damaged file shows at start, not in the middle of a rotation.
    """
    keyring = folder.read()
    private = {} if known is None else known._private
    refresh = {} if known is None else known._refresh
    signing = [record for record in keyring.signing if record.state in (KeyState.CURRENT, KeyState.NEXT)]
    private = {record.kid: private.get(record.kid) or folder.load_signing_key(record) for record in signing}
    refresh = {
        record.key_id: refresh.get(record.key_id) or folder.load_refresh_key(record) for record in keyring.refresh
    }
    return LoadedKeys(
        keyring,
        Signer.of(keyring.current.kid, private[keyring.current.kid]),
        RefreshAuthenticator(keyring.refresh[0].key_id, refresh),
        PublishedKeys.of(record.public for record in keyring.published),
        {record.kid: rsa_public_key(record.public) for record in keyring.published},
        private,
        refresh,
    )


class LiveKeys:
    """Holds the newest good version of the keyring; a folder that turns bad is logged and the last good version stays."""

    def __init__(self, folder: KeyFolder) -> None:
        self._folder = folder
        self.on_change: Callable[[], None] = lambda: None
        """Called when another version of the keyring is in force, so that verifiers can be told at once."""
        self._stamp = folder.stamp() if folder.is_initialised else None
        self.now = load_keys(folder)

    async def watch(self, publications: Publications, keep_seconds: float) -> None:
        """Until cancelled: reloads the folder when it changed, says what this process publishes, and retires previous keys
        that stopped signing more than `keep_seconds` ago, when no token of theirs is alive."""
        try:
            while True:
                await self._look(publications, keep_seconds)
                await asyncio.sleep(RELOAD_SECONDS)
        finally:
            await publications.leave()

    async def _look(self, publications: Publications, keep_seconds: float) -> None:
        try:
            await self._reload()
            retired = self.now.keyring.retired(int(time.time() - keep_seconds))
            if retired is not self.now.keyring:
                await asyncio.to_thread(self._folder.replace, self.now.keyring, retired)
        except KeyringConflictError:
            return
        except (KeyringError, OSError) as error:
            log.error("keyring kept at its last good version", version=self.now.keyring.version, problem=str(error))
        await publications.report(self.now.published.kids)

    async def _reload(self) -> None:
        stamp = self._folder.stamp()
        if stamp != self._stamp:
            self.now = await asyncio.to_thread(load_keys, self._folder, self.now)
            self._stamp = stamp
            self.on_change()
            log.info("keyring reloaded", version=self.now.keyring.version, kid=self.now.signer.kid)
