"""A program that makes servers by forking: everything is imported already, so one is ready in a fifth of a second.

    python nursery.py

Reads an order a line: {"port": 8000, "environment": {...}, "log": path, "failpoint": [point, when, passage], "bug": name}, and
answers with the server's pid. Nothing in the product knows of failpoints or planted bugs: they are put into the copy that is
forked.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

import failpoints
import planted
import psycopg
import sqlalchemy.dialects.postgresql.psycopg
import uvicorn.protocols.http.httptools_impl
import uvloop

import identity.store.sql.postgresql
from identity.cli.process import refuse, serve_forever
from identity.settings import ConfigurationError, load_settings

LOADED = (psycopg, sqlalchemy, uvicorn, uvloop, identity)
"""What a server otherwise loads when it first needs it."""

_DIE_WITH_PARENT = 1


def main() -> None:
    """Obeys until standard input ends, and takes everything with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The kernel forgets them; whoever ordered one watches it.
    for line in sys.stdin:
        print(json.dumps({"pid": fork(json.loads(line))}), flush=True)


def fork(order: dict[str, Any]) -> int:
    """Returns the pid of a new server."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = serve(order)
    finally:
        os._exit(code)


def serve(order: dict[str, Any]) -> int:
    """Is the server, to its end."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing, log = os.open(os.devnull, os.O_RDWR), os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, target in ((0, nothing), (1, nothing), (2, log)):
        os.dup2(target, number)
    os.environ.clear()
    os.environ.update(order["environment"])
    if order.get("bug"):
        planted.BUGS[order["bug"]]()
    if order.get("failpoint"):
        failpoints.arm(*order["failpoint"])
    try:
        serve_forever(load_settings(os.environ), "127.0.0.1", order["port"])
    except ConfigurationError as error:
        return refuse(error.problems)
    return 0


if __name__ == "__main__":
    main()
