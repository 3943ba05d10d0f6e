"""The server's own program with an argon2 that costs nothing: what a sign-in takes besides its password.

Only the parameters of the hash change. Thread pool, SQL, throttles and audit are those of every login.
"""

from __future__ import annotations

import runpy
from typing import Any

from argon2 import PasswordHasher

from identity.accounts import passwords

LIGHT = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def _light(**_parameters: Any) -> PasswordHasher:
    return LIGHT


def main() -> None:
    """Takes the arguments of `identity.cli.server`."""
    vars(passwords)["PasswordHasher"] = _light
    runpy.run_module("identity.cli.server", run_name="__main__")


if __name__ == "__main__":
    main()
