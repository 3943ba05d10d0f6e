"""One server process: checks what it runs on, says what is wrong in plain sentences, then serves."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import structlog
import uvicorn

from identity.app import Stores, create_app, load_live_keys, require_usable
from identity.settings import ConfigurationError, Settings, load_settings

DRAIN_SECONDS = 10
"""How long a stopping server lets requests finish; waiting feed polls are answered at once."""

EXIT_REFUSED = 2


def serve(settings: Settings, host: str, port: int) -> None:
    """Serves until SIGINT or SIGTERM. Raises `ConfigurationError` instead of starting halfway."""
    configure_logging()
    asyncio.run(_check(settings))
    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    uvicorn.Server(config).run()


async def _check(settings: Settings) -> None:
    """Reports the problems of keys and stores together, before anything listens."""
    problems: list[str] = []
    try:
        load_live_keys(settings)
    except ConfigurationError as error:
        problems += error.problems
    stores = Stores.of(settings)
    try:
        await require_usable(settings, stores)
    except ConfigurationError as error:
        problems += error.problems
    finally:
        await stores.close()
    if problems:
        raise ConfigurationError(problems)


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


def main() -> int:
    """Runs one process with the settings of its environment; `identity dev` starts it so."""
    try:
        serve(load_settings(os.environ), sys.argv[1], int(sys.argv[2]))
    except ConfigurationError as error:
        return refuse(error.problems)
    return 0


if __name__ == "__main__":
    sys.exit(main())
