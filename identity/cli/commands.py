"""The table of commands. Each is a few lines over `administration/`; what goes wrong is one sentence and exit code 1 or 2."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from identity.checking.command import DESCRIPTION
from identity.cli import api_keys, backup, invitations, keys, registrations, users, verifiers
from identity.cli import dev as dev_command
from identity.cli.check_resource import check_resource
from identity.cli.doctor import doctor
from identity.cli.office import Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import print_done
from identity.cli.process import server_program
from identity.cli.verifiers import DEFAULT_PATIENCE, Patience, Wait, acknowledgement_of, print_acknowledged
from identity.feed.verifiers import Acknowledgement
from identity.store.sql.migration import migrate as migrate_database

app = typer.Typer(no_args_is_help=True, add_completion=False, help="An identity server for microservices.")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(registrations.clients, name="clients")
app.add_typer(invitations.app, name="invitations")
app.add_typer(registrations.resources, name="resources")
app.add_typer(registrations.roles, name="roles")
app.add_typer(verifiers.app, name="verifiers")
app.command("check-resource", help=DESCRIPTION)(check_resource)
app.add_typer(api_keys.app, name="api-keys")
app.command("doctor")(doctor)
for command in (backup.backup, backup.rehearse, backup.restore, backup.restored):
    app.command()(command)


@app.command()
def dev(
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the identity server.")] = 8000,
    resource_port: Annotated[int, typer.Option(help="Port of the example service.")] = 8001,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak https, with a certificate authority of this folder.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Run everything on this machine: server, stores, example service, demo people. For development only."""
    raise typer.Exit(dev_command.run(dev_command.DevOptions(host, port, resource_port, data_dir, tls)))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Server processes; one for each core.")] = 1,
) -> None:
    """Run the server in production, with the settings of the environment."""
    program = server_program(host, port, workers)
    # In place of this process, which has loaded a whole command line: same pid, 15 MB less for as long as it serves.
    os.execv(program[0], program)  # noqa: S606 - nothing of it comes from outside


@app.command()
def migrate(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Bring the database to this version's tables; harmless to repeat, and for several replicas at once."""

    async def work(office: Office) -> str:
        return await migrate_database(office.stores.database)

    revision = work_in_office(data_dir, work)
    print_done(f"The database is at revision {revision}.", {"revision": revision}, as_json)


@app.command()
def revoke(
    token: Annotated[str | None, typer.Option(help="A token's grant; - reads the token from standard input.")] = None,
    session: Annotated[str | None, typer.Option(help="A session, by its grant_id.")] = None,
    user: Annotated[str | None, typer.Option(help="Everything a person has.")] = None,
    client: Annotated[str | None, typer.Option(help="Everything issued to a client.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything issued to anybody; people log in again, API keys are over.")
    ] = False,
    wait: Wait = False,
    patience: Patience = DEFAULT_PATIENCE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """End a token, a session, everything of a person or client, or simply everything, at every service."""
    named = {"token": token, "session": session, "user": user, "client": client, "everything": everything or None}
    chosen = {what: value for what, value in named.items() if value is not None}
    if len(chosen) != 1:
        raise typer.BadParameter("Give exactly one of --token, --session, --user, --client, --all.")
    ((what, value),) = chosen.items()
    value = sys.stdin.readline().strip() if (what, value) == ("token", "-") else value

    async def work(office: Office) -> Acknowledgement | None:
        revocation = await office.revocation()
        await (revocation.everything() if everything else getattr(revocation, what)(value))
        return await acknowledgement_of(office, patience) if wait else None

    print_acknowledged("Revoked", {"revoked": what}, work_in_office(data_dir, work), as_json)
