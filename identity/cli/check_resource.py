"""`identity check-resource`: attacks a running service, and says what it found."""

from __future__ import annotations

from typing import Annotated

import typer

from identity.checking.bench import Plan
from identity.checking.command import HELP, ISSUER_PORT, METHOD, PATIENCE, SUBJECT, Output, run
from identity.cli.options import AsJson


def check_resource(
    url: Annotated[str, typer.Argument(help=HELP["url"])],
    audience: Annotated[str, typer.Option(help=HELP["--audience"])],
    scope: Annotated[list[str] | None, typer.Option(help=HELP["--scope"])] = None,
    method: Annotated[str, typer.Option(help=HELP["--method"])] = METHOD,
    subject: Annotated[str, typer.Option(help=HELP["--subject"])] = SUBJECT,
    issuer_port: Annotated[int, typer.Option(help=HELP["--issuer-port"])] = ISSUER_PORT,
    wait: Annotated[float, typer.Option(help=HELP["--wait"])] = PATIENCE,
    remote: Annotated[bool, typer.Option("--remote", help=HELP["--remote"])] = False,
    show_all: Annotated[bool, typer.Option("--all", help=HELP["--all"])] = False,
    as_json: AsJson = False,
) -> None:
    """Runs the checks; `--help` says what they are."""
    plan = Plan(url, audience, tuple(scope or ()), subject, method, issuer_port, wait)
    raise typer.Exit(run(plan, Output(show_all, as_json), is_remote_allowed=remote))
