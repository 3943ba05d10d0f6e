"""`identity keys ...`"""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from identity.administration.compromise_report import CompromiseReport
from identity.administration.key_compromise import Withdrawal
from identity.administration.key_move import move_keyring
from identity.cli.office import Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import Row, print_done, print_progress, print_rows
from identity.cli.verifiers import DEFAULT_PATIENCE, Patience, Wait, acknowledgement_of, print_acknowledged
from identity.feed.verifiers import Acknowledgement
from identity.installed_keys import key_folder, sql_keys
from identity.keyring.place import KeyPlace
from identity.keyring.publication import TooEarlyError
from identity.keyring.states import Keyring

app = typer.Typer(no_args_is_help=True, help="Signing keys: list, rotate, export, and what to do when one is stolen.")

_PATIENCE_SECONDS = 24 * 3600


class KeysIn(StrEnum):
    """Where keys are kept."""

    FOLDER = "folder"
    DATABASE = "database"


@app.command("init")
def init(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Make the first keys of an installation; refused where there are some."""

    async def work(office: Office) -> Keyring:
        return await office.keys.initialise()

    keyring = work_in_office(data_dir, work)
    print_done(f"Made the first keys; {keyring.current.kid} signs.", {"kid": keyring.current.kid}, as_json)


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show every key and its state."""

    async def work(office: Office) -> Keyring:
        return await office.keys.list()

    columns = ("kid", "alg", "state", "made", "signing", "replaced")
    print_rows(_rows(work_in_office(data_dir, work), as_json), columns, as_json)


@app.command("add")
def add(
    algorithm: Annotated[str, typer.Argument(metavar="ALG", help="RS256, PS256, ES256 or EdDSA.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Publish a first key of another algorithm; it signs after `identity keys rotate`, when verifiers have seen it."""

    async def work(office: Office) -> Keyring:
        keyring = await office.keys.add(algorithm)
        await office.record("keys.added", f"{keyring.nexts[algorithm].kid} {algorithm}")
        return keyring

    keyring = work_in_office(data_dir, work)
    kid = keyring.nexts[algorithm].kid
    sentence = f"Published {kid}; `identity keys rotate --alg {algorithm} --wait` lets it sign."
    print_done(sentence, {"next": kid, "alg": algorithm, "version": keyring.version}, as_json)


@app.command("rotate")
def rotate(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the next key has been published long enough.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Promote now; verifiers may not have seen the key.")] = False,
    algorithm: Annotated[
        list[str] | None, typer.Option("--alg", help="Rotate this algorithm only; may be repeated. Default: all.")
    ] = None,
    refresh_key: Annotated[
        bool, typer.Option("--refresh-key", help="Rotate the key of refresh tokens instead.")
    ] = False,
) -> None:
    """Let the next keys sign, and publish new next ones. No token that is good stops being good."""

    async def work(office: Office) -> Keyring:
        if refresh_key:
            keyring = await office.keys.rotate_refresh_key()
            await office.record("keys.refresh_key_rotated", keyring.refresh[0].key_id)
            return keyring
        keyring = await (
            office.keys.rotate_when_ready(_progress, _PATIENCE_SECONDS, algorithm)
            if wait
            else office.keys.rotate(force, algorithm)
        )
        await office.record(
            "keys.rotated", " ".join(keyring.currents[each].kid for each in algorithm or keyring.currents)
        )
        return keyring

    keyring = work_in_office(data_dir, work)
    done = "New sessions use a new refresh key." if refresh_key else f"{_signing(keyring)}."
    facts = {
        "kid": keyring.current.kid,
        "next": keyring.next.kid,
        "signing": _kids(keyring),
        "version": keyring.version,
    }
    print_done(done, facts, as_json)


@app.command("compromise")
def compromise(
    kid: Annotated[str | None, typer.Argument(help="The key that somebody else may hold.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every key, and every session: for a stolen host or backup.")
    ] = False,
    wait: Wait = False,
    patience: Patience = DEFAULT_PATIENCE,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Wait, and write who acknowledged and who held its tokens, as Markdown and JSON.",
        ),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Have every token of a stolen key refused, now and for ever. People keep their sessions and get new tokens."""
    if (kid is None) is not everything:
        raise typer.BadParameter("Give one KID, or --all.")
    if report is not None:
        _make_folder(report)

    async def work(office: Office) -> tuple[Withdrawal, Acknowledgement | None]:
        if report is not None:
            return await _compromise_and_report(office, kid, patience, report)
        done = await _compromise(office, kid)
        return done, await acknowledgement_of(office, patience) if wait else None

    done, state = work_in_office(data_dir, work)
    if not done.reached_servers:
        print_progress("identity: a server has not noticed in time and may sign with a withdrawn key; look at its log")
    keyring = done.keyring
    kids = {"kid": keyring.current.kid, "next": keyring.next.kid, "signing": _kids(keyring)}
    facts = {"withdrawn": list(done.kids), **kids}
    sentence = f"Withdrew {' '.join(done.kids)}; {_signing(keyring)}"
    print_acknowledged(sentence, {**facts, "reached_servers": done.reached_servers}, state, as_json)


@app.command("export")
def export(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Print the published keys as a JWKS."""

    async def work(office: Office) -> bytes:
        return await office.keys.export()

    typer.echo(work_in_office(data_dir, work).decode())


@app.command("move")
def move(
    to: Annotated[KeysIn, typer.Option("--to", help="Where the keys are to be from now on.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Move all keys into the database, or back into the folder. Nobody is logged out; then set IDENTITY_KEYS_IN."""

    async def work(office: Office) -> Keyring:
        settings, database = office.settings, office.stores.database
        folder, sql = key_folder(settings), sql_keys(settings, database)
        places: tuple[KeyPlace, KeyPlace] = (folder, sql) if to is KeysIn.DATABASE else (sql, folder)
        keyring = await move_keyring(*places, to.value)
        await office.record("keys.moved", to.value)
        return keyring

    keyring = work_in_office(data_dir, work)
    sentence = (
        f"The keys are in the {to.value} now; set IDENTITY_KEYS_IN={to.value} and restart the servers one by one."
    )
    print_done(sentence, {"kid": keyring.current.kid, "keys_in": to.value, "version": keyring.version}, as_json)


@app.command("seal-again")
def seal_again(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Seal every key in the database with IDENTITY_MASTER_KEY, whichever of the two master keys sealed it before."""

    async def work(office: Office) -> int:
        sealed = await sql_keys(office.settings, office.stores.database).seal_again()
        await office.record("keys.sealed_again", str(sealed))
        return sealed

    sealed = work_in_office(data_dir, work)
    print_done(f"Sealed {sealed} keys; the other master key opens nothing any more.", {"sealed": sealed}, as_json)


def _make_folder(folder: Path) -> None:
    """Before anything is done: in an emergency a slip of the pen is told at once, not at the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"The folder {folder} cannot be made ({error.strerror}).") from None


async def _compromise(office: Office, kid: str | None) -> Withdrawal:
    emergency = office.key_compromise
    return await (emergency.withdraw(kid) if kid is not None else emergency.withdraw_everything())


async def _compromise_and_report(
    office: Office, kid: str | None, patience: float, folder: Path
) -> tuple[Withdrawal, Acknowledgement]:
    began_at = time.time()
    kids = [kid] if kid is not None else await office.key_compromise.everything()
    counting = asyncio.create_task(office.exposure_of(kids))  # Beside the emergency, which waits for nothing.
    done = await _compromise(office, kid)
    state = await acknowledgement_of(office, patience)
    horizon = office.settings.token_horizon
    report = CompromiseReport(office.actor, began_at, done, await counting, state, horizon)
    stem = time.strftime("withdrawn-keys-%Y%m%dT%H%M%SZ", time.gmtime(began_at))
    for suffix, text in (("json", report.as_json()), ("md", report.as_markdown())):
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    print_progress(f"identity: the report is {folder / stem}.md, and .json")
    return done, state


def _progress(error: TooEarlyError) -> None:
    print_progress(f"{error} Waiting {error.seconds:.0f} s.")


def _kids(keyring: Keyring) -> dict[str, str]:
    return {algorithm: record.kid for algorithm, record in keyring.currents.items()}


def _signing(keyring: Keyring) -> str:
    """Which keys sign, in words."""
    others = [f"{kid} with {algorithm}" for algorithm, kid in _kids(keyring).items() if kid != keyring.current.kid]
    return ", ".join([f"{keyring.current.kid} signs now", *others])


def _rows(keyring: Keyring, as_json: bool) -> list[Row]:
    moment = _moment if as_json else _age
    return [
        {
            "kid": record.kid,
            "alg": record.algorithm,
            "state": record.state.value,
            "made": moment(record.created_at),
            "signing": moment(record.promoted_at),
            "replaced": moment(record.replaced_at),
        }
        for record in keyring.signing
    ]


def _moment(seconds: int | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _age(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    age = max(0, int(time.time()) - seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if age >= 2 * length:
            return f"{age // length} {unit} ago"
    return f"{age} s ago"
