"""The supervisor of `identity dev`, as a real process with real children."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from identity.cli.supervisor import Child, Supervisor
from identity.store.embedded import EmbeddedValkey, running_socket
from identity.store.processes import wait_until

# Two children that answer HTTP; the behaviour of the second one is the argument. Prints the pids when all are ready.
SUPERVISOR = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Whoever runs the tests under nohup had it ignored.
from identity.cli.supervisor import Child, Supervisor

SERVER = '''
import http.server, os, signal, sys, time
from pathlib import Path
behaviour, port, log = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
if behaviour == "exits":  # but only when the other one runs: they are started together
    while not list(log.parent.glob("*.pid")): time.sleep(0.01)
    sys.exit(3)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die": os._exit(7)
        self.send_response(503 if behaviour == "never ready" else 200)
        self.end_headers()
    def log_message(self, *args): pass
def end(*args):
    with log.open("a") as file: file.write(f"{port} ended\\\\n")
    os._exit(0)
if behaviour == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        while True: signal.pause()
else:
    signal.signal(signal.SIGTERM, end)
server = http.server.HTTPServer(("127.0.0.1", port), Answer)
log.with_name(f"{port}.new").write_text(str(os.getpid()))
log.with_name(f"{port}.new").rename(log.with_name(f"{port}.pid"))
server.serve_forever()
'''
folder, behaviour, drain, ready, *ports = sys.argv[1:]
children = [
    Child(name, [sys.executable, "-c", SERVER, how, port, folder + "/log"], f"http://127.0.0.1:{port}/health")
    for name, how, port in zip(["first", "second"], ["obeys", behaviour], ports)
]
def tend():
    if Path(folder, "untended").exists(): raise RuntimeError("cannot tend")
supervisor = Supervisor(children, drain_seconds=float(drain), ready_seconds=float(ready), tend=tend)
sys.exit(supervisor.run(lambda: print("ready", flush=True)))
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


@dataclass
class Running:
    """A supervisor process, the ports of its two children and where they leave their traces."""

    folder: Path
    behaviour: str = "obeys"
    drain: float = 10.0
    ready: float = 10.0
    ports: list[int] = field(default_factory=lambda: free_ports(2))

    def __post_init__(self) -> None:
        arguments = [str(self.folder), self.behaviour, str(self.drain), str(self.ready), *map(str, self.ports)]
        argv = [sys.executable, "-c", SUPERVISOR, *arguments]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def await_ready(self) -> "Running":
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return self

    def child_pids(self) -> list[int]:
        return [int(path.read_text()) for port in self.ports if (path := self.folder / f"{port}.pid").exists()]

    def end(self) -> tuple[int, str]:
        """The exit code and what was said, once the supervisor has ended by itself."""
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said

    def ask(self, path: str) -> None:
        with socket.create_connection(("127.0.0.1", self.ports[1]), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            connection.recv(1)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def all_gone(pids: list[int], seconds: float = 5) -> bool:
    return bool(pids) and wait_until(lambda: not any(map(lives, pids)), time.monotonic() + seconds)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list[Running]]:
    """Filled by a test; whatever a failure leaves is killed."""
    started: list[Running] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_both_children_drain_and_leaves_neither(
    tmp_path: Path, running: list[Running], number: signal.Signals
) -> None:
    running.append(one := Running(tmp_path).await_ready())
    pids = one.child_pids()
    assert len(pids) == 2
    one.process.send_signal(number)
    assert one.end() == (0, "")
    assert not any(map(lives, pids))
    assert sorted((tmp_path / "log").read_text().splitlines()) == sorted(f"{port} ended" for port in one.ports)


def test_children_are_out_of_reach_of_the_terminals_ctrl_c(tmp_path: Path, running: list[Running]) -> None:
    running.append(one := Running(tmp_path).await_ready())
    groups = {os.getpgid(pid) for pid in one.child_pids()}
    assert len(groups) == 2
    assert os.getpgid(one.process.pid) not in groups


def test_a_child_that_dies_ends_the_others(tmp_path: Path, running: list[Running]) -> None:
    running.append(one := Running(tmp_path).await_ready())
    pids = one.child_pids()
    one.ask("/die")
    assert one.end() == (1, "second ended unexpectedly (exit code 7).\n")
    assert not any(map(lives, pids))


def test_a_child_that_is_killed_is_named_with_its_signal(tmp_path: Path, running: list[Running]) -> None:
    running.append(one := Running(tmp_path).await_ready())
    os.kill(one.child_pids()[0], signal.SIGKILL)
    assert one.end() == (1, "first ended unexpectedly (killed by SIGKILL).\n")


def test_a_child_that_ends_before_it_is_ready_is_named(tmp_path: Path, running: list[Running]) -> None:
    running.append(one := Running(tmp_path, "exits"))
    assert one.end() == (1, "second ended unexpectedly (exit code 3).\n")
    assert all_gone(one.child_pids())


def test_a_child_that_never_becomes_ready_is_named(tmp_path: Path, running: list[Running]) -> None:
    running.append(one := Running(tmp_path, "never ready", ready=2))
    assert one.end() == (1, "second was not ready within 2 seconds.\n")
    assert all_gone(one.child_pids())


def test_a_signal_before_all_are_ready_stops_what_runs(tmp_path: Path, running: list[Running]) -> None:
    running.append(one := Running(tmp_path, "never ready"))
    assert wait_until(lambda: len(one.child_pids()) == 2, time.monotonic() + 10)
    one.process.send_signal(signal.SIGINT)
    assert one.end() == (0, "")
    assert all_gone(one.child_pids())


def test_a_child_that_ignores_sigterm_is_killed_after_the_drain_time(tmp_path: Path, running: list[Running]) -> None:
    running.append(one := Running(tmp_path, "deaf", drain=0.5).await_ready())
    pids = one.child_pids()
    begun = time.monotonic()
    one.process.send_signal(signal.SIGTERM)
    # Reading to the end of stderr also shows that the child's own child is gone, which had inherited it.
    assert one.end() == (0, "second did not stop and was killed.\n")
    assert time.monotonic() - begun >= 0.5
    assert not any(map(lives, pids))


def test_a_second_ctrl_c_kills_at_once(tmp_path: Path, running: list[Running]) -> None:
    running.append(one := Running(tmp_path, "deaf", drain=60).await_ready())
    pids = one.child_pids()
    one.process.send_signal(signal.SIGINT)
    assert all_gone(pids[:1])
    one.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        one.process.wait(0.3)
    one.process.send_signal(signal.SIGINT)
    assert one.end()[0] == 0
    assert not any(map(lives, pids))


@pytest.mark.parametrize("moment", ["ready", "starting"])
def test_a_killed_supervisor_leaves_no_child(tmp_path: Path, running: list[Running], moment: str) -> None:
    running.append(one := Running(tmp_path, "obeys" if moment == "ready" else "never ready"))
    assert wait_until(lambda: len(one.child_pids()) == 2, time.monotonic() + 10)
    one.process.kill()
    # Elsewhere the kernel tells the children nothing; then they are ended here.
    if sys.platform != "linux":
        for pid in one.child_pids():
            os.kill(pid, signal.SIGTERM)
    assert all_gone(one.child_pids())


def test_what_tending_raises_ends_the_children_too(tmp_path: Path, running: list[Running]) -> None:
    (tmp_path / "untended").touch()
    running.append(one := Running(tmp_path))
    code, said = one.end()
    assert (code, "cannot tend" in said) == (1, True)
    assert all_gone(one.child_pids())


def test_it_tends_when_a_process_that_is_no_child_of_its_own_ends(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert other.stdin is not None
    tended: list[int | None] = []

    def tend() -> None:
        tended.append(other.poll())
        if other.returncode is not None:
            os.kill(os.getpid(), signal.SIGINT)

    child = Child("sleeper", ["sleep", "60"], ready=lambda: True)
    assert Supervisor([child], tend=tend).run(other.stdin.close) == 0
    assert tended == [None, 0]


def test_a_killed_private_valkey_is_back_while_the_children_run(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    valkey.start()
    first = valkey.process_id
    assert first is not None

    def tend() -> None:
        valkey.start()
        if valkey.process_id != first:
            os.kill(os.getpid(), signal.SIGTERM)

    child = Child("sleeper", ["sleep", "60"], ready=lambda: True)
    try:
        assert Supervisor([child], tend=tend).run(lambda: os.kill(first, signal.SIGKILL)) == 0
        assert running_socket(tmp_path) == valkey.url
    finally:
        valkey.stop()


def test_it_gives_the_signals_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    said: list[str] = []
    assert Supervisor([Child("missing", ["/no/such/program"], lambda: False)], say=said.append).run() == 1
    assert [sentence.split()[0] for sentence in said] == ["missing"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == before
    assert signal.set_wakeup_fd(-1) == -1
