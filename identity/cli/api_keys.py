"""`identity api-keys ...`"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from identity.administration.api_keys import ApiKeyEntry, NewApiKey
from identity.cli.office import Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import print_done, print_rows

app = typer.Typer(no_args_is_help=True, help="API keys: for programs that nobody logs in.")

User = Annotated[str | None, typer.Option("--user", help="The person whose key it is.")]
Client = Annotated[str | None, typer.Option("--client", help="The client whose key it is.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Option("--name", help="What the key is for.")],
    user: User = None,
    client: Client = None,
    scope: Annotated[list[str] | None, typer.Option("--scope", help="A scope; may be repeated.")] = None,
    resource: Annotated[str | None, typer.Option(help="Resource it is for; else the one that owns the scopes.")] = None,
    expires_in_days: Annotated[int | None, typer.Option(help="Days it lives; else until it is revoked.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Make an API key of a person or a client; it is shown only now."""
    new = NewApiKey(name, user, client, scope or [], resource, expires_in_days)

    async def work(office: Office) -> tuple[ApiKeyEntry, str]:
        return await office.api_keys.create(new)

    entry, text = work_in_office(data_dir, work)
    done = f"Made the API key {entry.key_id} of {user or client}. Shown only now: {text}"
    print_done(done, {**_row(entry), "api_key": text}, as_json)


@app.command("list")
def list_(
    user: User = None, client: Client = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False
) -> None:
    """Show the API keys: all, or those of one person or client."""

    async def work(office: Office) -> list[ApiKeyEntry]:
        return await office.api_keys.list(user, client)

    rows = [_row(entry) for entry in work_in_office(data_dir, work)]
    columns = ("key_id", "name", "user", "client_id", "scopes", "expires_at", "last_used_at", "revoked_at")
    print_rows(rows, columns, as_json)


@app.command("revoke")
def revoke(key_id: str, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """End an API key, and every access token it was exchanged for, at every service."""
    work_in_office(data_dir, lambda office: office.api_keys.revoke(key_id))
    print_done(f"The API key {key_id} is over.", {"key_id": key_id}, as_json)


def _row(entry: ApiKeyEntry) -> dict[str, object]:
    return {
        name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
        for name, value in asdict(entry).items()
    }
