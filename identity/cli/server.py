"""One server process as a program of its own (never imported): what only the command line needs is not in its memory.

python -P -m identity.cli.server HOST PORT [WORKERS [CERTIFICATE KEY]]
"""

from __future__ import annotations

import os
import sys

# structlog would load Rich for tracebacks in colour, which no server prints: 50 modules, 4 MB, a tenth of the start.
sys.modules["rich"] = None  # type: ignore[assignment]

from identity.cli.log import be_patient  # noqa: E402
from identity.cli.process import refuse, serve_forever  # noqa: E402
from identity.settings import ConfigurationError, load_settings  # noqa: E402

be_patient()  # Here, because each worker runs these lines, and nothing else of this file.


def main() -> int:
    """Runs the server with the settings of its environment."""
    host, port, *others = sys.argv[1:]
    workers, files = int(others[0]) if others else 1, others[1:]
    try:
        serve_forever(load_settings(os.environ), host, int(port), workers, files)
    except ConfigurationError as error:
        return refuse(error.problems)
    return 0


if __name__ == "__main__":
    sys.exit(main())
