"""What a command prints: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import typer
from rich import box
from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]

_PIPED_WIDTH = 200


def print_rows(rows: Sequence[Row], columns: Sequence[str], as_json: bool) -> None:
    """Prints rows; JSON has every member, the table the named columns."""
    if as_json:
        print_json(rows)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        # The first column is the name to copy into the next command: it is never shortened.
        table.add_column(column.replace("_", " "), no_wrap=column == columns[0], overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(table)


def print_json(value: object) -> None:
    """Prints one JSON document."""
    typer.echo(json.dumps(value, indent=2))


def print_done(sentence: str, value: Row, as_json: bool) -> None:
    """Says what was done."""
    if as_json:
        print_json(value)
    else:
        typer.echo(sentence)


def print_progress(sentence: str) -> None:
    """Says what is being waited for, on standard error."""
    print(sentence, file=sys.stderr, flush=True)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(str(each) for each in value)
    return "" if value is None else str(value)
