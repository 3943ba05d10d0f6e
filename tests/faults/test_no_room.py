"""F19: full disks, a disk that became read-only, and no file descriptor left."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from bystander import percentile
from crowd import Crowd, Mix
from history import Fault, History, Kind, Outcome
from invariants import Promises
from laboratory import installation
from replicas import Replica
from wire import Wire

WINDOW = 10
LOW_DESCRIPTORS = 180


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 4 MB, which only root can have mounted."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Takes all that is left."""
    path = place / "filling"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return path


@contextmanager
def no_room(disk: Path, server: Replica, fault: str) -> Iterator[None]:
    """Meanwhile nothing can be written that is not there yet."""
    if fault == "full":
        filling = fill(disk)
        yield
        filling.unlink()
        return
    limit = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (4096, limit[1]))
    yield
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limit)


@contextmanager
def place_for(fault: str, folder: Path) -> Iterator[Path]:
    if fault == "full":
        with small_disk(folder / "disk") as disk:
            yield disk
    else:
        yield folder


@pytest.mark.parametrize("fault", ["full", "quota"] if os.geteuid() == 0 else ["quota"])
async def test_a_disk_without_room_refuses_and_heals(experiment, tmp_path, made_keys, choice, fault):
    """F19, I1 to I7: SQLite, the keys and the log on one disk. What needs a row is refused while none can be written;
    refreshes and services go on; all is well by itself when there is room again."""
    f19 = experiment(f"F19-{fault}", f"no room for SQLite and the log ({fault})")
    rounds, found = f19.rounds(short=1, long=20), History()
    mix = Mix(pause=0.02, end=0.2, steal=0, patience=12)
    settings = {"IDENTITY_REFRESH_RETRY_WINDOW": str(WINDOW)}
    with place_for(fault, tmp_path) as disk:
        async with installation(disk, made_keys, count=1, sql="sqlite", settings=settings) as lab:
            verifiers, (server,) = await lab.verifiers(1), lab.replicas
            async with Crowd(
                found, [server.url], verifiers, choice, mix=mix, window=WINDOW, credential=lab.credential
            ) as crowd:
                for _ in range(rounds):
                    ended = found.count(Kind.END, outcome=Outcome.OK)
                    await crowd.until(lambda ended=ended: found.count(Kind.END, outcome=Outcome.OK) > ended + 1)
                    began, refused = time.monotonic(), found.count(Kind.END, outcome=Outcome.UNAVAILABLE)
                    with no_room(disk, server, fault):
                        await crowd.until(
                            lambda refused=refused: found.count(Kind.END, outcome=Outcome.UNAVAILABLE) > refused + 2
                        )
                    found.faults.append(Fault(f"no room ({fault})", began, time.monotonic()))
                await crowd.until(lambda: found.count(Kind.END) > 10)
                await crowd.finish()
    refused = found.count(Kind.END, outcome=Outcome.UNAVAILABLE)
    assert not f19.report(found, rounds, Promises(window=WINDOW), f"{refused} ends were refused with 503")


async def test_a_server_without_file_descriptors_neither_spins_nor_stays_so(experiment, tmp_path, made_keys):
    """F19, I7: more idle clients than there are descriptors for; whoever comes with a request is answered, the stores stay
    reachable, and no core is burnt."""
    f19 = experiment("F19-descriptors", f"{LOW_DESCRIPTORS} file descriptors, 400 idle connections")
    rounds, found, busy, waited = f19.rounds(short=1, long=10), History(), [], []
    async with installation(tmp_path, made_keys, count=1, start=False) as lab:
        (server,) = lab.replicas
        await with_few_descriptors(server)
        for _ in range(rounds):
            idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(400)]
            spent, began = cpu_seconds(server.pid), time.monotonic()
            while time.monotonic() < began + 2:
                wire, asked = Wire(server.url), time.monotonic()
                answer = await wire.get("/health/ready")
                assert answer.status == 200, answer.body
                waited.append(time.monotonic() - asked)
                await wire.close()
                await asyncio.sleep(0.05)
            busy.append((cpu_seconds(server.pid) - spent) / 2)
            assert len(list(Path(f"/proc/{server.pid}/fd").iterdir())) < LOW_DESCRIPTORS
            for _, writer in idle:
                writer.close()
    note = f"at most {max(busy):.0%} of a core; an answer on a new connection within {percentile(waited) * 1000:.0f} ms"
    assert not f19.report(found, rounds, None, note)
    assert max(busy) < 0.5


async def with_few_descriptors(server: Replica) -> None:
    """Starts it where few descriptors are allowed: what a child inherits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    await server.launch()
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (LOW_DESCRIPTORS, LOW_DESCRIPTORS))
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
    async with asyncio.timeout(30):
        while not await server.is_ready():
            await asyncio.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
