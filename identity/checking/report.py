"""The findings, as people and programs read them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from identity.checking.findings import Finding, Verdict


def as_table(findings: Sequence[Finding], *, show_all: bool) -> str:
    """Returns what was not withstood, or everything, in columns, and a line that counts."""
    shown = [finding for finding in findings if show_all or finding.verdict is not Verdict.OK]
    rows = [("attack", "line", "expected", "got", "verdict", "what"), *map(_row, shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*(lines if shown else []), *([""] if shown else []), summary(findings)])


def as_json(findings: Sequence[Finding]) -> str:
    """Returns everything as one JSON array."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def summary(findings: Sequence[Finding]) -> str:
    """Returns one line with how many checks ended how."""
    counts = Counter(finding.verdict for finding in findings)
    found, hints, skipped = counts[Verdict.FOUND], counts[Verdict.HINT], counts[Verdict.SKIPPED]
    return f"{len(findings)} checks: {found} found, {hints} hints, {skipped} skipped, {counts[Verdict.OK]} withstood."


def _row(finding: Finding) -> tuple[str, ...]:
    return finding.name, finding.line, finding.expected, finding.got, finding.verdict.value, finding.says
