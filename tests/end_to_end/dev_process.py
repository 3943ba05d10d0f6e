"""`identity dev` as a real process on free ports, with a data folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

IDENTITY = [sys.executable, "-m", "identity.cli.main"]
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class Dev:
    """One installation of `identity dev`: start, stop or kill it as often as needed; its folders stay."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.port, self.resource_port = free_ports(2)
        scheme = "https" if "--tls" in self.flags else "http"
        self.issuer = f"{scheme}://127.0.0.1:{self.port}"
        self.orders = f"{scheme}://127.0.0.1:{self.resource_port}"
        self.data_dir = self.folder / ".identity"
        self.output = self.folder / "output.txt"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server and of every command."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IDENTITY_", "ORDERS_"))}
        return {**inherited, "IDENTITY_KEYS_DIR": str(self.folder / "keys"), **self.settings}

    def start(self) -> None:
        """Starts it and waits until it has printed the story."""
        ports = ["--port", str(self.port), "--resource-port", str(self.resource_port)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*IDENTITY, "dev", *self.flags, *ports, "--data-dir", str(self.data_dir)],
                env=self.environment,
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: self.process.poll() is not None or "Ctrl-C stops" in self.printed(), READY_SECONDS)
        assert self.process.poll() is None, self.printed()

    def printed(self) -> str:
        """Returns everything it printed so far."""
        return self.output.read_text()

    def stop(self) -> int:
        """Sends what Ctrl-C sends, and returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs an `identity` command on this installation."""
        return subprocess.run(
            [*IDENTITY, *arguments, "--data-dir", str(self.data_dir)],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def processes(self) -> list[int]:
        """Returns the pids of everything that belongs to this installation: all of it works in this folder or below."""
        return [pid for pid in _pids() if pid != os.getpid() and self._owns(pid)]

    def processes_of(self, program: str) -> list[int]:
        """Returns the pids of those that run this program."""
        return [pid for pid in self.processes() if program.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def _owns(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.folder)
        except OSError:
            return False


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def free_ports(count: int) -> list[int]:
    """Returns ports nobody listens on now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_until(condition, seconds: float) -> None:
    """Waits for a condition, and fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
