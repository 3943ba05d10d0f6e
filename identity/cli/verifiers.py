"""`identity verifiers ...`, and waiting until a rule has reached all of them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from identity.cli.office import EXIT_FAILED, Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import Row, print_done, print_progress, print_rows
from identity.feed.rules import Head
from identity.feed.verifiers import Acknowledgement, LiveVerifier, wait_until_applied

app = typer.Typer(no_args_is_help=True, help="The services that follow the revocation feed.")

Wait = Annotated[bool, typer.Option("--wait", help="Wait until every live verifier has applied it.")]
Patience = Annotated[float, typer.Option("--patience", min=0, help="Seconds to wait at most.")]
DEFAULT_PATIENCE = 30.0


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show every verifier that polled within the last minute, and how far behind it is."""

    async def work(office: Office) -> list[Row]:
        head, live = await office.stores.journal.head(), await office.verifiers.live()
        following = (await office.keys.list()).next.kid
        return [_row(each, head, following) for each in live]

    columns = ("resource", "instance", "behind", "keys", "holds_next_key", "last_seen")
    print_rows(work_in_office(data_dir, work), columns, as_json)


async def acknowledgement_of(office: Office, patience: float) -> Acknowledgement:
    """Returns how far everything that is committed now has come, telling the terminal while it waits."""
    head = await office.stores.journal.head()
    return await wait_until_applied(office.verifiers, head, patience, lambda state: print_progress(f"{state} ..."))


def print_acknowledged(done: str, facts: Row, state: Acknowledgement | None, as_json: bool) -> None:
    """Says what was done, and who has applied it if that was waited for; exits with 1 when somebody has not."""
    if state is None:
        print_done(f"{done}.", facts, as_json)
        return
    late = [each.name for each in state.late]
    told = {"acknowledged": len(state.applied), "late": late, "seconds": round(state.seconds, 3)}
    print_done(f"{done}, {state}.", {**facts, **told}, as_json)
    if late:
        print(f"identity: not acknowledged by {', '.join(late)}", file=sys.stderr)
        raise typer.Exit(EXIT_FAILED)


def _row(verifier: LiveVerifier, head: Head, following: str) -> Row:
    return {
        "resource": verifier.resource,
        "instance": verifier.instance,
        "behind": _behind(verifier, head),
        "keys": len(verifier.kids),
        "holds_next_key": following in verifier.kids,
        "kids": list(verifier.kids),
        "last_seen": f"{verifier.silent:.0f} s ago",
    }


def _behind(verifier: LiveVerifier, head: Head) -> str:
    if verifier.applied is None or verifier.applied.epoch != head.epoch:
        return "everything"
    rules = max(0, head.seq - verifier.applied.seq)
    return f"{rules} rules" if rules else "nothing"
