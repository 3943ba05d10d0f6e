"""Children that do not outlive the process that started them, and locks and folders that keep processes apart."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

POLL_SECONDS = 0.01


class EmbeddedStoreError(Exception):
    """The embedded store cannot be used; the message is one sentence for the person at the terminal."""


class DataDirInUseError(EmbeddedStoreError):
    """Another process holds the data directory."""


# Runs in the child before the program, which it then becomes (same pid). A `preexec_fn` would do the same between fork
# and exec, where a lock held by any other thread of the parent is held for ever; here there is nothing to inherit.
# prctl(1, ...) is PR_SET_PDEATHSIG; it survives exec. A parent that died before the call is caught by getppid.
# Python ignores SIGPIPE, and an ignored signal stays ignored across exec: the program gets the default back.
_END_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    print(f"cannot run {sys.argv[2]}: {error.strerror}", file=sys.stderr)
    sys.exit(127)
"""


def start_child(
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv` in its own session; on Linux it gets SIGTERM when this process dies, even by SIGKILL.

    Its own session keeps a Ctrl-C in the terminal away from it: whoever started it decides when it ends. `output` takes
    stdout and stderr; without it they are inherited. Elsewhere than on Linux a killed parent leaves the child running.
    """
    if threading.current_thread() is not threading.main_thread():
        # The kernel's "parent died" means the *thread* that forked: the child would end with a worker thread.
        raise RuntimeError("start_child must be called from the main thread")
    if sys.platform == "linux":
        argv = [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, str(os.getpid()), *argv]
    return subprocess.Popen(  # noqa: S603
        list(argv),
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )


def stop_child(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """End a child for certain: SIGTERM, then SIGKILL after `seconds`. False when it had to be killed."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill_child(process)
        return False
    return True


def kill_child(process: subprocess.Popen[bytes]) -> None:
    """Kill a child, with whatever it started in its own process group, and wait until it is gone."""
    if process.poll() is None:  # Not yet reaped, so its pid (also its group's) cannot have gone to anyone else.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(condition: Callable[[], bool], deadline: float) -> bool:
    """Answer True as soon as `condition` holds, False once time.monotonic() has passed `deadline`."""
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


class LockFile:
    """One holder (or several shared ones) at a time; the system releases it when its holder dies, however it dies.

    The file stays when the lock is released: removing it would let two processes lock two files of the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    def fileno(self) -> int:
        """The open file of a held lock; a child that inherits it holds the lock for as long as it lives."""
        if self._fd is None:
            raise RuntimeError(f"{self.path} is not locked")
        return self._fd

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock and answer True, or answer False at once when another holder is in the way."""
        if self._fd is not None:
            return True
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        if not shared:
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        return True

    def release(self) -> None:
        """Give the lock back; an unheld one is left alone."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def holder(self) -> str:
        """Who holds the lock, for a sentence: "process 123". For people only; the lock itself is the truth."""
        text = self.path.read_text().strip() if self.path.exists() else ""
        return f"process {text}" if text.isdecimal() else "another process"


class DataDirLock:
    """At most one process holds a data directory; a second is refused with a sentence naming the first."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = LockFile(data_dir / "lock")

    @property
    def held(self) -> bool:
        return self._lock.held

    def try_acquire(self) -> bool:
        """Take the lock and answer True, or False at once; a missing directory is made, for its owner only."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._lock.try_acquire()

    def acquire(self, wait_seconds: float = 0.0) -> None:
        """Take the lock, or raise DataDirInUseError once `wait_seconds` have passed."""
        if not wait_until(self.try_acquire, time.monotonic() + wait_seconds):
            raise DataDirInUseError(f"The data directory {self._data_dir} is in use by {self._lock.holder()}.")

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> "DataDirLock":
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def make_private(folder: Path) -> None:
    """The folder exists and only this user can enter it; one that others could have prepared is refused."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    require_private(folder)


def require_private(folder: Path) -> None:
    """Refuse a folder (or a link in its place) that is another user's or that others can enter."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise EmbeddedStoreError(f"{folder} must be a folder of this user with mode 700; remove it or correct it.")
