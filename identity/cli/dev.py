"""`identity dev`: the whole story on one machine, from an empty folder, in one command."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.request import urlopen

from identity.accounts.passwords import Passwords
from identity.administration.clients import Clients
from identity.administration.demo import DemoNotes, make_demo
from identity.cli.local_authority import LocalCertificate, local_certificate
from identity.cli.options import DEFAULT_DATA_DIR, DEV_DEFAULTS, ISSUER_NOTE
from identity.cli.private_file import write_private
from identity.cli.process import refuse, server_program
from identity.cli.story import print_story, story_of
from identity.cli.supervisor import Child, Supervisor
from identity.installed_keys import key_place
from identity.keyring.states import KeyringError
from identity.oauth.client_authentication import new_secret
from identity.setting_forms import LOOPBACK_HOSTS
from identity.settings import ConfigurationError, Settings, load_settings
from identity.store.embedded import (
    DataDirLock,
    EmbeddedStoreError,
    EmbeddedValkey,
    find_server_binary,
)
from identity.store.sql.migration import migrate
from identity.web.branding import Branding
from identity.wiring.parts import Stores, signing_keys

_LOCK_SECONDS = 5.0
"""A command that runs on the same data folder holds it for a moment only."""

_NO_VALKEY = (
    "identity: no Valkey or Redis can run here, so sessions live in the server's memory: they end with it, and other "
    "`identity` commands cannot see them."
)


@dataclass(frozen=True, slots=True)
class DevOptions:
    """Where `identity dev` listens and keeps its data."""

    host: str
    port: int
    resource_port: int
    data_dir: Path
    tls: bool = False

    @property
    def issuer(self) -> str:
        """The issuer identifier of the development server."""
        return f"{self._scheme}://{_bracketed(self.host)}:{self.port}"

    @property
    def resource_url(self) -> str:
        """Where `resource_example` listens."""
        return f"{self._scheme}://{_bracketed(self.host)}:{self.resource_port}"

    @property
    def _scheme(self) -> str:
        return "https" if self.tls else "http"


def run(options: DevOptions) -> int:
    """Runs until Ctrl-C; returns the exit code. Nothing is left running, whatever ends it."""
    problems = _refusals(options)
    if problems:
        return refuse(problems)
    options = replace(options, data_dir=options.data_dir.absolute())
    lock = DataDirLock(options.data_dir)
    try:
        lock.acquire(_LOCK_SECONDS)
        return _run_with_stores(options)
    except (ConfigurationError, EmbeddedStoreError, KeyringError) as error:
        return refuse(getattr(error, "problems", [str(error)]))
    finally:
        lock.release()


def _run_with_stores(options: DevOptions) -> int:
    if find_server_binary() is None:
        print(_NO_VALKEY, file=sys.stderr)
        return _run_children(options, "fakeredis://", lambda: None)
    valkey = EmbeddedValkey(options.data_dir)
    valkey.start()
    try:
        return _run_children(options, valkey.url, valkey.start)
    finally:
        valkey.stop()


def _run_children(options: DevOptions, redis_url: str, tend: Callable[[], None]) -> int:
    environment = _environment(options, redis_url)
    settings = load_settings(environment)
    Branding.of(settings)  # Refused here, by its own sentences, and not by a child that ends.
    notes = asyncio.run(_prepare(settings, options))
    write_private(options.data_dir / ISSUER_NOTE, options.issuer.encode())
    certificate = local_certificate(options.data_dir / "tls") if options.tls else None
    supervisor = Supervisor(_children(options, environment, notes, certificate), tend=tend)
    authority = str(certificate.authority) if certificate else ""
    story = story_of(options.issuer, options.resource_url, notes.client_secret, _command(options), authority)
    return supervisor.run(lambda: print_story(options.issuer, options.resource_url, story, authority))


def _command(options: DevOptions) -> str:
    """How the person can call `identity` from another terminal, on this data folder."""
    command = "uv run identity" if "UV_RUN_RECURSION_DEPTH" in os.environ else "identity"
    is_default = options.data_dir == DEFAULT_DATA_DIR.absolute()
    return command if is_default else f"IDENTITY_DATA_DIR={shlex.quote(str(options.data_dir))} {command}"


def _environment(options: DevOptions, redis_url: str) -> dict[str, str]:
    """The server's environment: whatever the person set, and on top what makes it the development server."""
    return {
        **DEV_DEFAULTS,
        **os.environ,
        "IDENTITY_MODE": "dev",
        "IDENTITY_ISSUER": options.issuer,
        "IDENTITY_DATABASE_URL": f"sqlite:///{options.data_dir / 'identity.sqlite3'}",
        "IDENTITY_REDIS_URL": redis_url,
        "IDENTITY_DATA_DIR": str(options.data_dir),
        "IDENTITY_DEFAULT_CLIENT": "demo",
        "IDENTITY_FEED_PUBLIC": "true",
    }


def _children(
    options: DevOptions, environment: dict[str, str], notes: DemoNotes, certificate: LocalCertificate | None
) -> list[Child]:
    files = [str(certificate.certificate), str(certificate.key)] if certificate else []
    trust = certificate.trust if certificate else None
    server = server_program(options.host, options.port, files=files)
    orders = [sys.executable, "-m", "resource_example", "--host", options.host, "--port", str(options.resource_port)]
    orders_environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_")},
        "ORDERS_ISSUER": options.issuer,
        "ORDERS_AUDIENCE": notes.resource_identifier,
        "ORDERS_CREDENTIAL": f"orders:{notes.resource_secret}",
    }
    if certificate:
        orders += ["--certificate", files[0], "--key", files[1]]
        orders_environment["SSL_CERT_FILE"] = str(certificate.authority)
    return [
        Child("the identity server", server, f"{options.issuer}/health/ready", environment, trust),
        Child("resource_example", orders, lambda: _can_verify(options, trust), orders_environment),
    ]


def _can_verify(options: DevOptions, trust: ssl.SSLContext | None) -> bool:
    """whether the example service has keys and revocations: it may have started before the server had anything to tell."""
    url = f"{options.resource_url}/health"
    with suppress(OSError, ValueError), urlopen(url, timeout=1, context=trust) as answer:  # noqa: S310
        return bool(json.load(answer)["ready"])
    return False


async def _prepare(settings: Settings, options: DevOptions) -> DemoNotes:
    """Makes what is missing: keys on the very first start only, tables, demo rows. A second start keeps everything."""
    database_exists = (options.data_dir / "identity.sqlite3").exists()
    stores = Stores.of(settings)
    try:
        if settings.keys_in == "database":
            await migrate(stores.database)
        if not await key_place(settings, stores.database).is_initialised():
            if database_exists:
                raise KeyringError(_lost_keys(settings, options))
            await signing_keys(settings, stores).initialise()
        await migrate(stores.database)
        return await _demo(settings, options, stores)
    finally:
        await stores.close()


def _lost_keys(settings: Settings, options: DevOptions) -> str:
    where = f"{settings.keys_dir}/" if settings.keys_in == "folder" else "The database"
    return (
        f"{where} holds no keyring, but {options.data_dir} was used with one before; put it back, or remove both folders "
        f"to start anew."
    )


async def _demo(settings: Settings, options: DevOptions, stores: Stores) -> DemoNotes:
    notes = _read_or_write_notes(options)
    with closing(Passwords(settings.password_threads)) as passwords:
        await make_demo(stores.ledger, passwords, notes)
    await Clients(stores.ledger, "identity dev").allow_origin("demo", options.resource_url)
    return notes


def _read_or_write_notes(options: DevOptions) -> DemoNotes:
    """Reads the notes of an earlier start, or writes them, to a file that only its owner can read."""
    path = options.data_dir / "demo.json"
    if path.exists():
        return DemoNotes(**json.loads(path.read_text(encoding="utf-8")))
    notes = DemoNotes(options.resource_url, new_secret(), new_secret())
    write_private(path, json.dumps(asdict(notes)).encode())
    return notes


def _refusals(options: DevOptions) -> list[str]:
    if options.host not in LOOPBACK_HOSTS:
        return [f"identity dev listens on loopback addresses only, not on {options.host}; use `identity serve`."]
    taken = [port for port in (options.port, options.resource_port) if not _is_free(options.host, port)]
    return [f"port {port} is in use; choose another with --port or --resource-port." for port in taken]


def _is_free(host: str, port: int) -> bool:
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
