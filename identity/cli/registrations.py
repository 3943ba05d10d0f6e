"""`identity clients ...`, `identity resources ...`, `identity roles ...`"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from identity.administration.errors import AdministrationError
from identity.cli.office import Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import print_done, print_rows
from identity.models import Client, Resource, Role
from identity.oauth.errors import InvalidClientMetadata
from identity.oauth.registration.client_metadata import ClientMetadata, read_client_file
from identity.oauth.registration.new_client import NewClient
from identity.oauth.subjects import PAIRWISE
from identity.verifier.profile import ACCESS_TOKEN_TYPE, ALGORITHM, ALGORITHMS

clients = typer.Typer(no_args_is_help=True, help="Clients: programs that ask for tokens.")
resources = typer.Typer(no_args_is_help=True, help="Resources: services that verify tokens.")
roles = typer.Typer(no_args_is_help=True, help="Roles: named sets of scopes that people have.")

Scopes = Annotated[list[str] | None, typer.Option("--scope", help="A scope; may be repeated.")]


Uris = Annotated[list[str] | None, typer.Option(help="Where browsers are sent back with a code; may be repeated.")]
UrisAfterLogout = Annotated[
    list[str] | None, typer.Option(help="Where browsers may be sent after signing out; may be repeated.")
]
GrantTypes = Annotated[
    list[str] | None,
    typer.Option(help="authorization_code, refresh_token, client_credentials, password; may be repeated."),
]
Metadata = Annotated[
    Path | None, typer.Option(help="A JSON file with all that the options do not say, in the words of RFC 7591.")
]


@clients.command("create")
def create_client(
    client_id: str,
    grant: GrantTypes = None,
    scope: Scopes = None,
    name: Annotated[str, typer.Option(help="What people are told who asks; the id, if left out.")] = "",
    public: Annotated[bool, typer.Option("--public", help="The client cannot keep a secret, and has none.")] = False,
    trusted: Annotated[bool, typer.Option("--trusted", help="The client is yours: people are not asked.")] = False,
    resource: Annotated[str | None, typer.Option(help="Resource meant when a request names none.")] = None,
    redirect_uri: Uris = None,
    post_logout_redirect_uri: UrisAfterLogout = None,
    origin: Annotated[list[str] | None, typer.Option(help="Web origin that may call (CORS); may be repeated.")] = None,
    keep_refresh_tokens: Annotated[bool, typer.Option("--no-rotation", help="Refresh tokens stay the same.")] = False,
    metadata: Metadata = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Register a client; its secret is shown only now."""
    said = {
        "name": name or None,
        "grant_types": grant,
        "scopes": scope,
        "authentication_method": "none" if public else None,
        "default_resource": resource,
        "redirect_uris": redirect_uri,
        "post_logout_redirect_uris": post_logout_redirect_uri,
        "origins": origin,
        "rotates_refresh_tokens": False if keep_refresh_tokens else None,
        "is_trusted": trusted,
    }

    async def work(office: Office) -> str | None:
        fields = {field: value for field, value in said.items() if value is not None}
        new = _described(metadata).client(client_id, **fields)
        await _require_servable(office, new)
        return (await office.clients.create(new))[1]

    secret = work_in_office(data_dir, work)
    shown = f" Its secret, shown only now: {secret}" if secret else ""
    print_done(f"Registered {client_id}.{shown}", {"client_id": client_id, "client_secret": secret}, as_json)


async def _require_servable(office: Office, new: NewClient) -> None:
    """Raises an error for a client that this installation cannot serve as it stands."""
    if new.subject_type == PAIRWISE and office.settings.pairwise_key is None:
        raise AdministrationError("A pairwise client needs IDENTITY_PAIRWISE_KEY, here and at every server.")
    for algorithm in {new.id_token_signing_alg, new.userinfo_signed_response_alg}.intersection(ALGORITHMS):
        if algorithm != ALGORITHM:  # No command needs the keys for what always signs.
            await office.keys.require_signing(algorithm)


def _described(path: Path | None) -> ClientMetadata:
    """Returns what a file says of a client. What RFC 7591 has ignored is a typing error here."""
    try:
        document = json.loads(path.read_text(encoding="utf-8")) if path else {}
        described = read_client_file(document)
    except InvalidClientMetadata as error:
        raise AdministrationError(error.description) from None
    except (OSError, ValueError, AttributeError):
        raise AdministrationError(f"{path} cannot be read, or is no JSON object.") from None
    if described.unknown:
        raise AdministrationError(f"There is no client metadata {described.unknown[0]!r}.")
    return described


@clients.command("list")
def list_clients(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show every client."""

    async def work(office: Office) -> Sequence[Client]:
        return await office.clients.list()

    rows = [
        {
            **client.model_dump(
                include={
                    "client_id",
                    "is_enabled",
                    "is_dynamic",
                    "grant_types",
                    "redirect_uris",
                    "scopes",
                    "default_resource",
                    "origins",
                }
            ),
            "authentication_method": client.authentication_method
            or ("client_secret" if client.secret_hashes else "none"),
        }
        for client in work_in_office(data_dir, work)
    ]
    print_rows(rows, ("client_id", "is_enabled", "authentication_method", "grant_types", "scopes"), as_json)


@clients.command("disable")
def disable_client(client_id: str, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """End everything issued to a client, and issue nothing more."""
    work_in_office(data_dir, lambda office: office.clients.disable(client_id))
    print_done(f"{client_id} is disabled, and everything issued to it is over.", {"client_id": client_id}, as_json)


@clients.command("enable")
def enable_client(client_id: str, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Let a client ask again."""
    work_in_office(data_dir, lambda office: office.clients.enable(client_id))
    print_done(f"{client_id} is enabled.", {"client_id": client_id}, as_json)


@clients.command("add-secret")
def add_secret(client_id: str, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Make a new secret; the one before stays good until the next is made."""
    secret = work_in_office(data_dir, lambda office: office.clients.add_secret(client_id))
    done = f"A new secret for {client_id}, shown only now: {secret}"
    print_done(done, {"client_id": client_id, "client_secret": secret}, as_json)


@resources.command("create")
def create_resource(
    name: str,
    identifier: Annotated[str, typer.Argument(help="The `aud` of its tokens: an absolute URI.")],
    scope: Scopes = None,
    token_type: Annotated[str, typer.Option(help="at+jwt, or JWT for an old verifier.")] = ACCESS_TOKEN_TYPE,
    signing_alg: Annotated[
        str, typer.Option("--signing-alg", help="What signs its tokens; `identity keys list` shows what there is.")
    ] = ALGORITHM,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Register a service; the secret that opens the revocation feed to it is shown only now."""

    async def work(office: Office) -> str:
        if signing_alg in ALGORITHMS and signing_alg != ALGORITHM:  # No command needs the keys for what always signs.
            await office.keys.require_signing(signing_alg)
        return (await office.resources.create(name, identifier, scope or [], token_type, signing_alg))[1]

    secret = work_in_office(data_dir, work)
    print_done(
        f"Registered {name}. Its credential for the revocation feed, shown only now: {name}:{secret}",
        {"name": name, "secret": secret},
        as_json,
    )


@resources.command("list")
def list_resources(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show every resource."""

    async def work(office: Office) -> Sequence[Resource]:
        return await office.resources.list()

    found = work_in_office(data_dir, work)
    columns = ("name", "identifier", "scopes", "token_type", "signing_alg")
    print_rows([row.model_dump(include=set(columns)) for row in found], columns, as_json)


@roles.command("create")
def create_role(name: str, scope: Scopes = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Create a role."""

    async def work(office: Office) -> Role:
        return await office.roles.create(name, scope or [])

    role = work_in_office(data_dir, work)
    print_done(f"Created the role {name}.", {"name": name, "scopes": role.scopes}, as_json)


@roles.command("set-scopes")
def set_scopes(name: str, scope: Scopes = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Change what a role permits; where that is less, access tokens issued so far are refused."""
    work_in_office(data_dir, lambda office: office.roles.set_scopes(name, scope or []))
    print_done(
        f"The role {name} permits {' '.join(scope or []) or 'nothing'}.", {"name": name, "scopes": scope}, as_json
    )


@roles.command("list")
def list_roles(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show every role."""

    async def work(office: Office) -> Sequence[Role]:
        return await office.roles.list()

    print_rows([role.model_dump() for role in work_in_office(data_dir, work)], ("name", "scopes"), as_json)
