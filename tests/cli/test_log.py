"""The log of a server never holds it up, and loses nothing without saying so."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

import pytest

from identity.cli.log import MAX_WAITING, PatientStream
from identity.settings import Settings

Start = Callable[..., tuple[subprocess.Popen[bytes], int]]


@pytest.fixture
def start(settings_of: Callable[..., Settings]) -> Iterator[Start]:
    """Starts real servers whose standard error goes where the test says."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(stderr: int | IO[bytes], *arguments: str, **changed: str) -> tuple[subprocess.Popen[bytes], int]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = settings_of(issuer=f"http://127.0.0.1:{port}")
        environment = {
            **os.environ,
            "IDENTITY_MODE": "dev",
            "IDENTITY_ISSUER": settings.issuer,
            "IDENTITY_DATABASE_URL": settings.database_url.get_secret_value().replace("+aiosqlite", ""),
            "IDENTITY_REDIS_URL": "fakeredis://",
            "IDENTITY_KEYS_DIR": str(settings.keys_dir),
            **changed,
        }
        argv = [sys.executable, "-m", "identity.cli.server", "127.0.0.1", str(port), *arguments]
        started.append(subprocess.Popen(argv, env=environment, stderr=stderr))
        return started[-1], port

    yield begin
    for process in started:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def asked(port: int, path: str = "/health/live") -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST" if path == "/token" else "GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def until_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert asked(port) == 200
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def refusals(port: int, count: int) -> None:
    """Each of these leaves a line of 150 bytes in the log."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(count):
        connection.request("POST", "/token")
        answer = connection.getresponse()
        assert answer.status == 415
        answer.read()
    connection.close()


def test_a_server_whose_log_nobody_reads_answers_and_stops(start: Start) -> None:
    """F19, F27: a full pipe held up the event loop, and with it every request and SIGTERM."""
    process, port = start(subprocess.PIPE)
    until_ready(port)
    refusals(port, 1000)  # A pipe takes 64 KiB, 430 lines.
    assert asked(port) == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


def test_a_server_whose_log_finds_the_disk_full_answers_and_stops(start: Start, tmp_path: Path) -> None:
    """F19: /dev/full answers every write with ENOSPC."""
    with Path("/dev/full").open("wb") as full:
        process, port = start(full)
    until_ready(port)
    refusals(port, 100)
    assert asked(port) == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


def test_a_refused_start_is_said_on_a_pipe(start: Start) -> None:
    """F19: what a process says last is written before it ends."""
    process, _ = start(subprocess.PIPE, IDENTITY_KEYS_DIR="/nowhere")
    assert process.stderr is not None
    assert b"identity: /nowhere/keyring.json is missing" in process.stderr.read()
    assert process.wait(10) == 2


def test_what_is_logged_while_a_server_stops_comes_out(start: Start) -> None:
    """F19: a server ends by the signal it was sent, without the ways of a usual end."""
    process, port = start(subprocess.PIPE)
    until_ready(port)
    refusals(port, 300)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    written = process.stderr.read().splitlines()
    assert sum(b"request refused" in line for line in written) == 300
    assert process.wait(10) == -signal.SIGTERM


@contextmanager
def on_a_pipe() -> Iterator[tuple[PatientStream, IO[bytes]]]:
    source, target = os.pipe()
    stream = PatientStream(target)
    with os.fdopen(source, "rb") as reader:
        yield stream, reader
        stream.drain(5)
        os.close(target)


def test_lines_come_out_whole_and_in_order() -> None:
    """F19: `print` writes a line in pieces."""
    with on_a_pipe() as (stream, reader):
        for number in range(1000):
            print(number, "and more", file=stream)
        assert [reader.readline() for _ in range(1000)] == [b"%d and more\n" % number for number in range(1000)]


def test_lines_beyond_the_bound_are_counted_and_told_where_they_are_missing() -> None:
    """F19, I6: no unbounded queue; a gap is never silent."""
    with on_a_pipe() as (stream, reader):
        length = 1000
        count = 2 * MAX_WAITING // length
        for number in range(count):
            stream.write(f"{number:0{length - 1}}\n")
        lines, missing = [], 0
        for line in reader:
            if line.startswith(b"{"):
                missing = json.loads(line)["lines"]
                break
            lines.append(int(line))
        assert lines == list(range(len(lines)))
        assert len(lines) + missing == count
        assert missing > 0
        stream.write("after\n")
        assert reader.readline() == b"after\n"


def test_a_full_disk_costs_no_line_and_cuts_none(tmp_path: Path) -> None:
    """F19: once there is space again the log goes on where it stopped, in the middle of a line."""
    path = tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("wb") as file:
        stream = PatientStream(file.fileno())
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1005, hard))
            for number in range(100):
                stream.write(f"{number:019}\n")
            stream.drain(0.5)
            assert path.stat().st_size == 1005
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        stream.drain(5)
    assert [int(line) for line in path.read_bytes().splitlines()] == list(range(100))


def test_writing_never_waits_and_draining_ends() -> None:
    """F19, F27: nobody reads; a thousand lines cost milliseconds, and the end of the process a bounded time."""
    with on_a_pipe() as (stream, reader):
        began = time.monotonic()
        for _ in range(1000):
            stream.write("x" * 199 + "\n")
        assert time.monotonic() - began < 1
        stream.drain(0.2)
        assert time.monotonic() - began < 2
        assert len([reader.readline() for _ in range(1000)]) == 1000


def test_a_crash_is_said_last() -> None:
    """F19: an exception that nobody caught ends the process, and its traceback comes out."""
    program = "from identity.cli.log import be_patient; be_patient(); raise RuntimeError('the reason')"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30)
    assert ran.stderr.rstrip().endswith(b"RuntimeError: the reason")
