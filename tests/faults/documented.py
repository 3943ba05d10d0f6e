"""The commands that a page of the documents shows, run as they are printed."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SECONDS = 120


def commands_of(page: str) -> list[str]:
    """The blocks of commands that the page promises are tested, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^<!-- tested -->\n```sh\n(.*?)^```$", text, re.S | re.M)


class Shell:
    """Somebody who types commands in a folder where `identity` is the command of these sources."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *paths: str) -> None:
        self.folder = folder
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        command = bin_folder / "identity"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m identity.cli.main "$@"\n')
        command.chmod(0o755)
        path = os.pathsep.join([str(bin_folder), *paths, os.environ["PATH"]])
        self._environment = {**environment, "PATH": path, "PYTHONPATH": str(ROOT), "USER": "operator"}

    async def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a script and returns what came of it; the first command that fails ends it."""
        return await asyncio.to_thread(
            subprocess.run,
            ["bash", "-ec", script],
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
