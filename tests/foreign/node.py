"""Node, and the libraries of package-lock.json, installed once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from person import Person

HERE = Path(__file__).parent
OLDEST = 20
"""openid-client needs WebCrypto without an import."""


@dataclass(frozen=True)
class Node:
    """Runs the scripts of this folder."""

    program: str

    def converse(self, script: str, person: Person, **wanted: Any) -> dict[str, Any]:
        """Returns what the script told in the end; whenever it asks for a browser, `person` goes there."""
        process = subprocess.Popen(
            [self.program, script], cwd=HERE, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps(wanted), file=process.stdin, flush=True)
            for line in process.stdout:
                said = json.loads(line)
                if "result" in said:
                    result: dict[str, Any] = said["result"]
                    return result
                print(person.follow(said["open"]), file=process.stdin, flush=True)
        raise AssertionError(f"{script} ended without a result; what it complained of stands above")


def installed_node() -> Node:
    """Returns Node with the libraries in place. Whoever comes first installs them; they stay until the lock file changes."""
    program = shutil.which("node")
    assert program, "these tests need node and npm: uv sync --group node brings them"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert int(version.removeprefix("v").partition(".")[0]) >= OLDEST, f"node {version} is too old"
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    with (HERE / ".installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = HERE / "node_modules" / ".installed"
        if not installed.exists() or installed.read_text() != wanted:
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=HERE, check=True, capture_output=True, timeout=120)
            installed.write_text(wanted)
    return Node(program)
