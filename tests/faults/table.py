"""Prints the table of all long runs so far, as it stands in docs/reliability.md:  python tests/faults/table.py"""

from __future__ import annotations

import json
from pathlib import Path

from tally import HEADINGS, Figures

_CACHE = Path(__file__).parents[2] / ".pytest_cache" / "v" / "faults"


def main() -> None:
    """One row for each experiment, by its id."""
    print(f"| {' | '.join(HEADINGS)} |")
    print("|" + "---|" * len(HEADINGS))
    for path in sorted(_CACHE.iterdir()):
        print(Figures(**json.loads(path.read_text())).row(path.name))


if __name__ == "__main__":
    main()
