"""`identity users ...`"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from identity.administration.people import PersonEntry
from identity.cli.office import Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import print_done, print_rows
from identity.models import Consent

app = typer.Typer(no_args_is_help=True, help="People: create, list, disable, give roles, set passwords.")

Username = Annotated[str, typer.Argument(help="The person's name.")]
PasswordFromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking for it.")
]


@app.command("create")
def create(
    username: Username,
    role: Annotated[list[str] | None, typer.Option(help="A role to give; may be repeated.")] = None,
    password_stdin: PasswordFromInput = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Create a person."""
    password = read_password(password_stdin)

    async def work(office: Office) -> PersonEntry:
        return await office.people.create(username, password, role or [])

    person = work_in_office(data_dir, work)
    print_done(f"Created {username}, subject {person.subject}.", asdict(person), as_json)


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show everyone."""

    async def work(office: Office) -> list[PersonEntry]:
        return await office.people.list()

    people = [asdict(person) for person in work_in_office(data_dir, work)]
    print_rows(people, ("username", "subject", "is_enabled", "roles"), as_json)


@app.command("disable")
def disable(username: Username, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """End everything a person has, and let them in no more."""
    work_in_office(data_dir, lambda office: office.people.disable(username))
    print_done(f"{username} is disabled, and every session is over.", {"username": username}, as_json)


@app.command("enable")
def enable(username: Username, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Let a person in again."""
    work_in_office(data_dir, lambda office: office.people.enable(username))
    print_done(f"{username} may log in.", {"username": username}, as_json)


@app.command("set-password")
def set_password(
    username: Username,
    password_stdin: PasswordFromInput = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Set a person's password; every session that began with the old one ends."""
    password = read_password(password_stdin)
    work_in_office(data_dir, lambda office: office.people.set_password(username, password))
    print_done(f"{username} has a new password, and every session is over.", {"username": username}, as_json)


@app.command("give-role")
def give_role(username: Username, role: str, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Give a person a role."""
    work_in_office(data_dir, lambda office: office.people.give_role(username, role))
    print_done(f"{username} has the role {role}.", {"username": username, "role": role}, as_json)


@app.command("take-role")
def take_role(username: Username, role: str, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Take a role from a person; their access tokens are refused, their sessions go on."""
    work_in_office(data_dir, lambda office: office.people.take_role(username, role))
    print_done(f"{username} no longer has the role {role}.", {"username": username, "role": role}, as_json)


def read_password(from_input: bool) -> str:
    """Returns a password that was typed twice, or one line of standard input; never an argument, which others can see."""
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer


@app.command("consents")
def consents(username: Username, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show what a person allowed clients."""

    async def work(office: Office) -> Sequence[Consent]:
        return await office.consents.of(username)

    rows = [
        {
            "client_id": each.client_id,
            "scopes": each.scopes,
            "granted_at": each.granted_at.isoformat(timespec="seconds"),
        }
        for each in work_in_office(data_dir, work)
    ]
    print_rows(rows, ("client_id", "scopes", "granted_at"), as_json)


@app.command("withdraw-consent")
def withdraw_consent(
    username: Username, client_id: str, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False
) -> None:
    """Take back what a person allowed a client: its sessions for them are over."""
    work_in_office(data_dir, lambda office: office.consents.withdraw(username, client_id))
    facts = {"username": username, "client_id": client_id}
    print_done(f"{username} allows {client_id} nothing any more.", facts, as_json)
