"""`identity check-resource`: what it prints, its exit code, and its options where only the verifier is installed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from identity.checking.bench import Plan
from identity.checking.check import check
from identity.checking.findings import Finding, Verdict
from identity.checking.report import as_json, as_table
from identity.checking.service import CannotCheck, Service

EXIT_FOUND: Final = 1
EXIT_CANNOT: Final = 2

ISSUER_PORT: Final = 9400
PATIENCE: Final = 60.0
METHOD: Final = "GET"
SUBJECT: Final = "alice"

DESCRIPTION: Final = (
    "Attack a running service that takes access tokens. Exit code 1: something was found; 2: could not run."
)
HELP: Final = {
    "url": "A protected address that answers 2xx to a good token.",
    "--audience": "What the service calls itself: the aud it wants.",
    "--scope": "A scope the address needs; may be repeated.",
    "--method": "How the address is asked.",
    "--subject": "A person the service knows.",
    "--issuer-port": "Port of the throw-away issuer, on loopback, that the service must trust.",
    "--wait": "Seconds until a good token must be accepted.",
    "--remote": "The service is on another machine, and you may attack it.",
    "--all": "Show what was withstood, too.",
    "--json": "Print JSON, for programs.",
}


@dataclass(frozen=True, slots=True)
class Output:
    """How the report is printed."""

    show_all: bool = False
    as_json: bool = False


def run(plan: Plan, output: Output, *, is_remote_allowed: bool = False) -> int:
    """Checks, prints the report on standard output and what is going on beside it; returns the exit code. A run that could not
    be finished has found what it has found."""
    findings: list[Finding] = []
    try:
        if not is_remote_allowed and not Service(plan.url).is_local:
            raise CannotCheck(f"{plan.url} is on another machine; --remote says that you may attack it")
        for finding in check(plan, _say):
            findings.append(finding)
    except CannotCheck as error:
        if findings:
            _print(findings, output)
        _say(f"identity: {error}")
        return EXIT_CANNOT
    _print(findings, output)
    return EXIT_FOUND if any(finding.verdict is Verdict.FOUND for finding in findings) else 0


def main(arguments: Sequence[str]) -> int:
    """Runs with the arguments of the command line, without the libraries of the server; returns the exit code."""
    asked = _parser().parse_args(arguments)
    scopes = tuple(asked.scope or ())
    plan = Plan(asked.url, asked.audience, scopes, asked.subject, asked.method, asked.issuer_port, asked.wait)
    return run(plan, Output(asked.all, asked.json), is_remote_allowed=asked.remote)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="identity check-resource", description=DESCRIPTION)
    parser.add_argument("url", help=HELP["url"])
    parser.add_argument("--audience", required=True, help=HELP["--audience"])
    parser.add_argument("--scope", action="append", help=HELP["--scope"])
    parser.add_argument("--method", default=METHOD, help=HELP["--method"])
    parser.add_argument("--subject", default=SUBJECT, help=HELP["--subject"])
    parser.add_argument("--issuer-port", type=int, default=ISSUER_PORT, help=HELP["--issuer-port"])
    parser.add_argument("--wait", type=float, default=PATIENCE, help=HELP["--wait"])
    for flag in ("--remote", "--all", "--json"):
        parser.add_argument(flag, action="store_true", help=HELP[flag])
    return parser


def _print(findings: Sequence[Finding], output: Output) -> None:
    print(as_json(findings) if output.as_json else as_table(findings, show_all=output.show_all))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
