"""`python -m benchmarks`: measures everything, prints the table and where the time of a refresh goes, and ends by itself."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from benchmarks import (
    against_peer,
    families,
    flows,
    footprint,
    hotspots,
    issuing,
    logins,
    machine,
    protecting,
    revocations,
    verifying,
)
from benchmarks.identity_server import IdentityServer
from benchmarks.table import Row, print_table

Measure = Callable[[IdentityServer, int, float], list[Row]]


def main() -> int:
    """Runs the groups that were asked for; a group that fails is reported in the table and does not stop the others."""
    options = _options()
    groups = _groups(options.families)
    wanted = options.only.split(",") if options.only else [*groups, "profile"]
    if unknown := set(wanted) - {*groups, "profile"}:
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join([*groups, 'profile'])}", file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for line in machine.describe():
        print(line, flush=True)
    rows, profile = [], []
    with tempfile.TemporaryDirectory(prefix="identity-benchmarks-") as folder, IdentityServer(Path(folder)) as identity:
        for name in groups:
            if name in wanted:
                rows += _measured(name, partial(groups[name], identity, options.rounds, options.seconds))
        if "profile" in wanted:
            print("... profile", file=sys.stderr, flush=True)
            profile = hotspots.show(identity)
    print_table(rows)
    if profile:
        print("Where the time of a refresh goes:", *profile, sep="\n")
    if options.json:
        document = {"machine": machine.describe(), "rows": [row.as_json() for row in rows], "profile": profile}
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return 0


def _groups(many: int) -> dict[str, Measure]:
    """The groups in the order in which they run; the families come last, for they fill Redis."""
    return {
        "refresh": issuing.refresh,
        "client_credentials": issuing.client_credentials,
        "peer": against_peer.measure,
        "jwks": issuing.jwks,
        "verify": verifying.measure,
        "revocations": revocations.measure,
        "protected": protecting.measure,
        "logins": logins.measure,
        "flows": flows.measure,
        "footprint": footprint.measure,
        "families": lambda identity, rounds, seconds: families.measure(identity, rounds, seconds, many),
    }


def _measured(name: str, group: Callable[[], list[Row]]) -> list[Row]:
    print(f"... {name}", file=sys.stderr, flush=True)
    begin = time.perf_counter()
    try:
        return group()
    except Exception as error:
        print(f"{name} failed after {time.perf_counter() - begin:.0f} s: {error!r}", file=sys.stderr, flush=True)
        return [Row.failed(name, f"{type(error).__name__}: {error}"[:300])]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every comparison (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one load (default 2)")
    parser.add_argument("--only", default="", help="groups, comma separated: refresh,verify,profile,...")
    parser.add_argument("--families", type=int, default=1_000_000, help="how many sessions are very many")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
