"""A server process: checks what it runs on, says what is wrong in plain sentences, then serves."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from identity.accounts.passwords import Passwords
from identity.app import create_app, require_usable
from identity.cli.connections import REST_SECONDS, GuardedProtocol
from identity.cli.serving import Server, Workers
from identity.installed_keys import load_installed_keys, require_newest
from identity.keyring.live import LoadedKeys
from identity.settings import ConfigurationError, Settings, load_settings
from identity.web.branding import Branding
from identity.wiring.parts import Stores

if TYPE_CHECKING:
    from fastapi import FastAPI

DRAIN_SECONDS = 10
"""How long a stopping server lets requests finish; waiting feed polls are answered at once."""

_STUCK_SECONDS = 60
"""After how long without a sign of life a worker is killed and replaced. uvicorn's 5 s are less than one takes to load what it
needs on a machine that is busy: it would be killed each time, and the server never be there."""

log = structlog.get_logger("identity")

EXIT_REFUSED = 2
_BOOTSTRAP = "bootstrap"


def server_program(host: str, port: int, workers: int = 1, files: Sequence[str] = ()) -> list[str]:
    """Returns the command that serves with the settings of its environment, in a process that holds nothing else. `-P`:
    the folder it is started in is no place to import from. `files` are those of `serve_forever`."""
    return [sys.executable, "-P", "-m", "identity.cli.server", host, str(port), str(workers), *files]


def serve_forever(settings: Settings, host: str, port: int, workers: int = 1, files: Sequence[str] = ()) -> None:
    """Serves until SIGINT or SIGTERM. Raises `ConfigurationError` instead of starting halfway. With several workers each is
    a process of its own, with the same environment. `files` are a certificate and its key, and https is spoken, or none."""
    configure_logging()
    _protect_memory()
    keys = asyncio.run(_prepare(settings))
    if settings.mode == "serve" and settings.keys_in == "folder" and settings.keys_passphrase is None:
        log.warning("the private keys are not encrypted at rest; IDENTITY_KEYS_PASSPHRASE_FILE would do that")
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "access_log": False,
        "log_config": None,
        "proxy_headers": False,
        "server_header": False,
        "lifespan": "on",
        "http": GuardedProtocol,
        "ws": "none",
        "timeout_keep_alive": REST_SECONDS,
        "timeout_graceful_shutdown": DRAIN_SECONDS,
        "timeout_worker_healthcheck": _STUCK_SECONDS,
        **dict(zip(("ssl_certfile", "ssl_keyfile"), files, strict=False)),
    }
    if workers == 1:
        app = create_app(settings, keys)
        _settle_memory()
        server = Server(uvicorn.Config(app, **options))
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)
    else:
        config = uvicorn.Config("identity.cli.process:app_of_environment", factory=True, workers=workers, **options)
        Workers(config, sockets=[config.bind_socket()]).run()


def app_of_environment() -> FastAPI:
    """Returns the server for the settings of this process's environment; a worker starts with it."""
    configure_logging()
    app = create_app(load_settings(os.environ))
    _settle_memory()
    return app


def _settle_memory() -> None:
    """Takes what was loaded out of the garbage collector's sight, and lets it look less often: requests make no cycles,
    and a tenth of a refresh went into looking for some."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _protect_memory() -> None:
    """Writes no core dump, for it would hold every private key (K05)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


async def _prepare(settings: Settings) -> LoadedKeys:
    """Reports the problems of pages, keys and stores together, before anything listens; then makes the first administrator,
    and returns the keys."""
    stores = Stores.of(settings)
    problems = _problems_of_pages(settings)
    keys = None
    try:
        try:
            await require_usable(settings, stores)
        except ConfigurationError as error:
            problems += error.problems
        if settings.keys_in == "folder" or not problems:
            keys = await load_installed_keys(settings, stores.database)
        if keys is not None and not problems:
            await require_newest(settings, stores.database, stores.redis, keys)
            await _bootstrap(settings, stores)
    except ConfigurationError as error:
        problems = [*error.problems, *problems]
    finally:
        await stores.close()
    if keys is None or problems:
        raise ConfigurationError(problems)
    return keys


def _problems_of_pages(settings: Settings) -> list[str]:
    try:
        Branding.of(settings)
    except ConfigurationError as error:
        return error.problems
    return []


async def _bootstrap(settings: Settings, stores: Stores) -> None:
    if settings.bootstrap_admin_username is None or settings.bootstrap_admin_password is None:
        return
    # Loaded only here: a server that makes nobody needs none of it.
    from identity.administration.bootstrap import make_first_administrator
    from identity.administration.errors import AdministrationError
    from identity.administration.people import People
    from identity.administration.roles import Roles

    with closing(Passwords(settings.password_threads)) as passwords:
        people, roles = People(stores.ledger, passwords, _BOOTSTRAP), Roles(stores.ledger, _BOOTSTRAP)
        password = settings.bootstrap_admin_password.get_secret_value()
        try:
            await make_first_administrator(people, roles, settings.bootstrap_admin_username, password)
        except AdministrationError as error:
            raise ConfigurationError([f"The first administrator cannot be made: {error}"]) from None


def configure_logging() -> None:
    """Logs JSON lines to standard error. The libraries' own logs pass from warnings up: below that they name addresses
    and paths of every request."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")


def refuse(problems: list[str]) -> int:
    """Prints one line for each problem and returns the exit code of a refused start."""
    for problem in problems:
        print(f"identity: {problem}", file=sys.stderr)
    return EXIT_REFUSED
