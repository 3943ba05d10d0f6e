"""The table of commands. Each is a few lines over `administration/`; errors become one sentence and exit code 1 or 2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from identity.cli import dev as dev_command

app = typer.Typer(no_args_is_help=True, add_completion=False, help="An identity server for microservices.")

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="IDENTITY_DATA_DIR", help="Folder of the embedded stores.")]


@app.callback()
def _root() -> None:
    """An identity server for microservices."""


@app.command()
def dev(
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the identity server.")] = 8000,
    resource_port: Annotated[int, typer.Option(help="Port of the example service.")] = 8001,
    data_dir: DataDir = Path(".identity"),
) -> None:
    """Run everything on this machine: server, stores, example service, demo people. For development only."""
    raise typer.Exit(dev_command.run(dev_command.DevOptions(host, port, resource_port, data_dir)))
