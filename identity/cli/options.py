"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from identity.verifier.profile import ALGORITHMS

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="IDENTITY_DATA_DIR", help="Folder of the embedded stores.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DEFAULT_DATA_DIR = Path(".identity")

ISSUER_NOTE = "issuer"
"""File of a data folder: which issuer `identity dev` was when it last started there. Commands read tokens of that one."""

DEV_DEFAULTS = {
    "IDENTITY_JWKS_MAX_AGE": "5",
    "IDENTITY_VERIFIER_COOLDOWN": "10",
    "IDENTITY_SIGNING_ALGORITHMS": ",".join(ALGORITHMS),
}
"""Settings of `identity dev`, and of the commands beside it, where the person has set none: keys may be cached for seconds
only, so that the first rotation can be watched after 20 s instead of ten minutes, and clients can try every algorithm."""
