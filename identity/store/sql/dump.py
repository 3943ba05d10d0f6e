"""Backups of the database, by its own tools: `pg_dump` and `pg_restore` for PostgreSQL, the backup interface of SQLite."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

_DUMP = ("pg_dump", "--format=custom", "--no-owner", "--no-privileges")
_LOAD = ("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")


class DumpError(Exception):
    """A dump that could not be made or loaded; the message is one clear sentence."""


def dump(url: str, target: Path) -> None:
    """Writes everything that is committed now into the new file `target`, which is ours alone; writers go on meanwhile."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    if url.startswith("sqlite"):
        _copy_sqlite(_sqlite_file(url), target)
    else:
        _run([*_DUMP, f"--file={target}"], url)


def load(url: str, source: Path) -> None:
    """Fills an empty database with what `dump` wrote: all of it, or nothing."""
    if url.startswith("sqlite"):
        _copy_sqlite(source, _sqlite_file(url))
    else:
        _run([*_LOAD, f"--dbname={_options(url)['dbname']}", str(source)], url)


@contextmanager
def scratch(url: str) -> Iterator[str]:
    """Yields the address of an empty database that nobody else knows, beside the one of `url`, and removes it."""
    if url.startswith("sqlite"):
        with tempfile.TemporaryDirectory() as folder:
            yield str(make_url(url).set(database=f"{folder}/scratch.sqlite3"))
        return
    name = f"identity_rehearsal_{secrets.token_hex(4)}"
    _ask(url, f"CREATE DATABASE {name}")
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        _ask(url, f"DROP DATABASE {name}")


def _ask(url: str, statement: str) -> None:
    import psycopg  # Here, and below: every command loads this module, and few need the driver.

    try:
        with psycopg.connect(_plain(url), autocommit=True) as connection:
            connection.execute(statement.encode())
    except psycopg.Error as error:
        raise DumpError(f"{statement.partition(' identity')[0]} failed: {error}") from None


def _plain(url: str) -> str:
    return url.replace("+psycopg", "", 1)


def _copy_sqlite(source: Path, target: Path) -> None:
    if not source.exists():
        raise DumpError(f"{source} is missing.")
    try:
        with closing(sqlite3.connect(source)) as from_there, closing(sqlite3.connect(target)) as to_here:
            from_there.backup(to_here)
    except sqlite3.Error as error:
        raise DumpError(f"{source} cannot be copied: {error}.") from None


def _sqlite_file(url: str) -> Path:
    return Path(make_url(url).database or "")


def _run(command: list[str], url: str) -> None:
    program = shutil.which(command[0])
    if program is None:
        raise DumpError(
            f"{command[0]} is not installed; it comes with PostgreSQL's client (Debian: postgresql-client)."
        )
    ran = subprocess.run([program, *command[1:]], env=_environment(url), capture_output=True, text=True)  # noqa: S603
    if ran.returncode:
        raise DumpError(f"{command[0]} failed: {ran.stderr.strip() or ran.returncode}")


def _environment(url: str) -> dict[str, str]:
    """The address goes by environment: every user of the machine can read a command line, and it holds the password."""
    from psycopg.pq import Conninfo

    options = _options(url)
    names = {each.keyword.decode(): each.envvar.decode() for each in Conninfo.get_defaults() if each.envvar}
    return {**os.environ, **{names[option]: str(value) for option, value in options.items() if option in names}}


def _options(url: str) -> Mapping[str, object]:
    from psycopg.conninfo import conninfo_to_dict

    return {name: value for name, value in conninfo_to_dict(_plain(url)).items() if value is not None}
