"""The `identity` command."""

from __future__ import annotations

import sys

_NEEDS_SERVER = "identity: the server is not installed; run: pip install 'identity-seam[server]'"


def run() -> None:
    """Runs the command line; where only the verifier is installed, says the one command that installs the rest."""
    try:
        from identity.cli.commands import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "identity":
            raise
        if sys.argv[1:2] == ["check-resource"]:  # needs nothing of the server
            from identity.checking.command import main

            sys.exit(main(sys.argv[2:]))
        print(_NEEDS_SERVER, file=sys.stderr)
        sys.exit(2)
    app()


if __name__ == "__main__":
    run()
