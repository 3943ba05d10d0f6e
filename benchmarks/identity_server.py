"""The identity server under test: a private Valkey, fresh keys, tables and the demo's rows, all in one temporary folder."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.processes import HOST, OTHER_CORE, Server, cpu_seconds
from identity.cli.dev import DevOptions, _environment, _prepare
from identity.installed_keys import key_folder
from identity.keyring.live import load_keys
from identity.settings import load_settings
from identity.store.embedded import EmbeddedValkey
from identity.tokens.refresh_token import Family, Generation, new_family, write_token
from identity.wiring.parts import Stores

T = TypeVar("T")

PORT = 18700
RESOURCE_PORT = 18701
REFRESH = {"path": "/token", "form": "client_id=demo"}


class IdentityServer:
    """Prepares and runs the server as `identity dev` does, pinned. Use it in a `with` block."""

    def __init__(self, folder: Path, port: int = PORT) -> None:
        options = DevOptions(HOST, port, RESOURCE_PORT, folder)
        self.options = options
        self.valkey = EmbeddedValkey(folder)
        self._environment = {
            **_environment(options, self.valkey.url),
            "IDENTITY_KEYS_DIR": str(folder / "keys"),
            # The throttles are for guessers: here one person logs in thousands of times from one address.
            "IDENTITY_LOGIN_ATTEMPTS": "1000000",
            "IDENTITY_LOGIN_ATTEMPTS_PER_ADDRESS": "1000000",
        }
        self.settings = load_settings(self._environment)

    def __enter__(self) -> IdentityServer:
        self.valkey.start()
        try:
            assert self.valkey.process_id
            os.sched_setaffinity(self.valkey.process_id, {OTHER_CORE})
            self.notes = asyncio.run(_prepare(self.settings, self.options))
            self.keys = asyncio.run(load_keys(key_folder(self.settings)))
            self.server = self.start_process(self.options.port)
        except BaseException:
            self.valkey.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self.server.stop()
        finally:
            self.valkey.stop()

    def start_process(self, port: int, program: str = "identity.cli.server") -> Server:
        """Starts one server process; it answers 200 when this returns."""
        argv = [sys.executable, "-m", program, HOST, str(port)]
        return Server(argv, port, "/health/ready", self._environment)

    @property
    def valkey_cpu(self) -> float:
        """Seconds of CPU the private Valkey has used."""
        assert self.valkey.process_id
        return cpu_seconds(self.valkey.process_id)

    @property
    def issuer(self) -> str:
        """The issuer of the tokens."""
        return self.settings.issuer

    @property
    def basic(self) -> str:
        """The header by which the confidential client authenticates."""
        return "Authorization: Basic " + base64.b64encode(f"demo-service:{self.notes.client_secret}".encode()).decode()

    def with_stores(self, work: Callable[[Stores], Awaitable[T]]) -> T:
        """Runs something on the stores, in this process."""

        async def run() -> T:
            stores = Stores.of(self.settings)
            try:
                return await work(stores)
            finally:
                await stores.close()

        return asyncio.run(run())

    def sessions(self, count: int) -> list[str]:
        """Returns refresh tokens of new sessions of alice, stored as a login stores them; logging in would take 18 ms each."""

        async def make(stores: Stores) -> list[str]:
            families = await self.new_families(stores, count)
            for start in range(0, count, 500):
                await self.begin(stores, families[start : start + 500])
            return [write_token(self.keys.authenticator, Generation(family.family, 0)) for family in families]

        return self.with_stores(make)

    async def begin(self, stores: Stores, families: Sequence[Family]) -> None:
        """Stores these sessions; a few thousand at a time may be on their way."""
        await asyncio.gather(*(stores.families.begin(family, self.keys.signer.kid) for family in families))

    async def new_families(self, stores: Stores, count: int) -> list[Family]:
        """Returns what `count` logins of alice would be granted; nothing is stored."""
        async with stores.ledger.change() as change:
            alice = next(user.subject for user in await change.registrations.users() if user.username == "alice")
        head, now = await stores.journal.head(), int(time.time())
        lives_until = now + self.settings.refresh_absolute_lifetime
        audience, scopes = self.options.resource_url, ("orders:read",)
        return [
            Family(
                new_family(self.keys.authenticator),
                alice,
                "demo",
                scopes,
                audience,
                now,
                ("pwd",),
                head.seq,
                lives_until,
            )
            for _ in range(count)
        ]
