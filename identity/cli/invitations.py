"""`identity invitations ...`"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from identity.cli.office import Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import print_done, print_rows
from identity.models import InitialAccessToken
from identity.oauth.registration.policy import RegistrationPolicy

app = typer.Typer(
    no_args_is_help=True, help="Invitations: initial access tokens, with which clients register themselves."
)

Several = list[str] | None


@app.command("create")
def create(
    name: str,
    uses: Annotated[int, typer.Option(help="How many clients may be registered with it.")] = 1,
    expires_in_days: Annotated[int, typer.Option(help="Days it is good for.")] = 7,
    scope: Annotated[Several, typer.Option(help="A scope that clients may have; may be repeated.")] = None,
    grant: Annotated[Several, typer.Option(help="A grant type that they may have; may be repeated.")] = None,
    auth_method: Annotated[Several, typer.Option(help="How they may prove who they are; may be repeated.")] = None,
    host: Annotated[Several, typer.Option(help="A host of their addresses, else any; may be repeated.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Make an initial access token; it is shown only now."""
    said = {"scopes": scope, "grant_types": grant, "authentication_methods": auth_method, "hosts": host}
    policy = RegistrationPolicy(**{field: frozenset(values) for field, values in said.items() if values})

    async def work(office: Office) -> str:
        return await office.invitations.invite(name, uses, timedelta(days=expires_in_days), policy)

    token = work_in_office(data_dir, work)
    print_done(
        f"Made the invitation {name}. Its token, shown only now: {token}", {"name": name, "token": token}, as_json
    )


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show every invitation, and what it is still good for."""

    async def work(office: Office) -> Sequence[InitialAccessToken]:
        return await office.invitations.list()

    rows = [
        {
            "name": row.name,
            "uses_left": row.uses_left,
            "expires_at": row.expires_at.isoformat(timespec="seconds"),
            **row.policy,
        }
        for row in work_in_office(data_dir, work)
    ]
    print_rows(rows, ("name", "uses_left", "expires_at", "scopes", "grant_types", "hosts"), as_json)


@app.command("withdraw")
def withdraw(name: str, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Let nobody else in by an invitation; clients that were registered with it stay."""
    work_in_office(data_dir, lambda office: office.invitations.withdraw(name))
    print_done(f"The invitation {name} is withdrawn.", {"name": name}, as_json)
