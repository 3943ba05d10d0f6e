"""Valkeys that belong together: a primary with replicas and sentinels, or a cluster. All on loopback, gone with the run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from identity.store.embedded import find_server_binary
from identity.store.processes import kill_child, start_child
from identity.store.redis.dialling import mapping_of

MASTER = "identity"
SLOTS = 16384
_START_SECONDS = 20.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, and that the kernel hands to nobody by itself."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def until(condition: Callable[[], object], seconds: float = _START_SECONDS) -> None:
    """Returns once the condition holds; a server that is not there yet makes it false."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(RedisError, OSError):
            if condition():
                return
        assert time.monotonic() < deadline, "the servers did not come to terms"
        time.sleep(0.02)


def until_repeated(primary: Callable[[], Server], replicas: int) -> None:
    """Returns when so many replicas have what the primary did until after each of them had confirmed something.

    A replica that is `online` without lag may have confirmed nothing: it is called so as soon as a snapshot is on its way to
    it. What it confirms first is the snapshot, and only then is it sent what came since: seconds, on a busy machine. If it
    takes the primary's place before, all that is lost."""
    done = 0

    def is_repeated() -> bool:
        nonlocal done
        told = primary().info("replication")
        found = [value for name, value in told.items() if name.startswith("slave") and isinstance(value, dict)]
        confirmed = [int(each["offset"]) for each in found if int(each["offset"]) and int(each["lag"]) <= 1]
        if len(confirmed) < replicas:
            return False
        done = done or int(told["master_repl_offset"])
        return min(confirmed) >= done

    until(is_repeated, seconds=60)


class Server:
    """One process; `options` are those of its command line. Start it from the main thread only."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self._options = folder, port, options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; `wait` tells when it answers."""
        argv = [str(find_server_binary()), *self._options]
        with (self.folder / "valkey.log").open("ab") as output:
            self._process = start_child(argv, {**os.environ, "LC_ALL": "C"}, output=output)

    def wait(self) -> None:
        """Returns when it answers."""
        until(lambda: self.say("PING"))

    def say(self, *command: Any) -> Any:
        """Returns its answer to one command, which is sent once: a server that is told to sleep must not be told again."""
        once = Retry(NoBackoff(), 0)
        with Redis(port=self.port, decode_responses=True, socket_timeout=5, retry=once) as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        return dict(self.say("INFO", section))

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it at once, as a power failure would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
            kill_child(self._process)


def data_server(folder: Path, port: int, *more: str) -> Server:
    """A server that keeps data, in an append-only file that nobody waits for."""
    fixed = (
        "--bind 127.0.0.1 --maxmemory-policy noeviction --appendonly yes --appendfsync no --enable-debug-command yes"
    )
    folder.mkdir(parents=True, exist_ok=True)
    return Server(folder, port, "--port", str(port), *fixed.split(), "--dir", str(folder), "--save", "", *more)


class Sentinels:
    """A primary, replicas of it, and three sentinels that watch them."""

    def __init__(self, folder: Path, replicas: int = 0, down_after: float = 1.0) -> None:
        first, *others = free_ports(1 + replicas)
        quick = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        self.servers = [data_server(folder / "s0", first, *quick)]
        for number, port in enumerate(others, 1):
            self.servers.append(data_server(folder / f"s{number}", port, *quick, "--replicaof", f"127.0.0.1 {first}"))
        self.sentinels = [
            _sentinel(folder / f"w{at}", port, first, down_after) for at, port in enumerate(free_ports(3))
        ]
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{each.port}' for each in self.sentinels)}/{MASTER}"

    def start(self) -> None:
        for server in (*self.servers, *self.sentinels):
            server.start()
        for server in (*self.servers, *self.sentinels):
            server.wait()
        replicas = len(self.servers) - 1
        if replicas:
            self.become_whole()
            until(lambda: all(self._knows_all(each, replicas) for each in self.sentinels))

    def primary(self) -> Server:
        """Whom the sentinels name."""
        _, port = self.sentinels[0].say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return next(each for each in self.servers if each.port == int(port))

    def become_whole(self) -> None:
        """Returns when all others repeat what the primary does."""
        until_repeated(self.primary, len(self.servers) - 1)

    def stop(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.kill()

    @staticmethod
    def _knows_all(sentinel: Server, replicas: int) -> bool:
        state = mapping_of(sentinel.say("SENTINEL", "MASTER", MASTER))
        return int(state["num-slaves"]) >= replicas and int(state["num-other-sentinels"]) == 2


def _sentinel(folder: Path, port: int, watched: int, down_after: float) -> Server:
    folder.mkdir(parents=True)
    lines = (
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {folder}",
        f"sentinel monitor {MASTER} 127.0.0.1 {watched} 2",
        f"sentinel down-after-milliseconds {MASTER} {int(down_after * 1000)}",
        f"sentinel failover-timeout {MASTER} 6000",
        f"sentinel parallel-syncs {MASTER} 2",
    )
    (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
    return Server(folder, port, str(folder / "sentinel.conf"), "--sentinel")


class Cluster:
    """Primaries that share the slots evenly, each with a replica if wanted (`servers` has the primaries first)."""

    def __init__(self, folder: Path, primaries: int = 3, replicas: int = 0, node_timeout: float = 2.0) -> None:
        count = primaries + replicas
        ports = free_ports(2 * count)
        self.primaries, self.folder = primaries, folder
        common = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(int(node_timeout * 1000)))
        common += ("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0")
        self.servers = [
            data_server(folder / f"n{at}", port, *common, "--cluster-port", str(bus))
            for at, (port, bus) in enumerate(zip(ports[:count], ports[count:], strict=True))
        ]
        self._write_nodes(ports[:count], ports[count:])
        self.url = f"redis+cluster://{','.join(f'127.0.0.1:{each.port}' for each in self.servers)}"

    def start(self) -> None:
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait()
        until(lambda: all(self._is_whole(each) for each in self.servers))
        self.become_whole()

    def become_whole(self) -> None:
        """Returns when the replica of each primary repeats what it does."""
        replicas = len(self.servers) // self.primaries - 1
        for server in self.masters() if replicas else ():
            until_repeated(lambda server=server: server, replicas)

    def stop(self) -> None:
        for server in self.servers:
            server.kill()

    def masters(self) -> list[Server]:
        """Those that are primaries now."""
        found = []
        for server in self.servers:
            with suppress(RedisError, OSError):
                if server.info("replication")["role"] == "master":
                    found.append(server)
        return found

    @staticmethod
    def slots_of(server: Server) -> list[int]:
        """The slots that this server says it has."""
        words = next(line for line in str(server.say("CLUSTER", "NODES")).splitlines() if "myself" in line).split()[8:]
        ranges = [word.partition("-") for word in words if not word.startswith("[")]
        return [slot for first, _, last in ranges for slot in range(int(first), int(last or first) + 1)]

    def node_id(self, at: int) -> str:
        return f"{at + 1:040x}"

    def _write_nodes(self, ports: Sequence[int], buses: Sequence[int]) -> None:
        """What each node would have written down after they had met: introducing them takes seconds."""
        share = SLOTS // self.primaries
        for me, server in enumerate(self.servers):
            lines = []
            for at, (port, bus) in enumerate(zip(ports, buses, strict=True)):
                is_primary = at < self.primaries
                last = SLOTS - 1 if at == self.primaries - 1 else (at + 1) * share - 1
                role = "master -" if is_primary else f"slave {self.node_id(at - self.primaries)}"
                slots = f" {at * share}-{last}" if is_primary else ""
                epoch = at + 1 if is_primary else at - self.primaries + 1
                flags = ("myself," if at == me else "") + role
                lines.append(f"{self.node_id(at)} 127.0.0.1:{port}@{bus} {flags} 0 0 {epoch} connected{slots}")
            lines.append(f"vars currentEpoch {self.primaries} lastVoteEpoch 0")
            (server.folder / "nodes.conf").write_text("\n".join(lines) + "\n")

    def _is_whole(self, server: Server) -> bool:
        told = set(str(server.say("CLUSTER", "INFO")).split())
        return {"cluster_state:ok", f"cluster_known_nodes:{len(self.servers)}"} <= told


class Move:
    """A slot on its way from one node to another, as `redis-cli --cluster reshard` moves it."""

    def __init__(self, cluster: Cluster, slot: int, source: Server, target: Server) -> None:
        self._cluster, self._slot, self._source, self._target = cluster, slot, source, target

    def begin(self) -> None:
        self._target.say("CLUSTER", "SETSLOT", self._slot, "IMPORTING", self._source.say("CLUSTER", "MYID"))
        self._source.say("CLUSTER", "SETSLOT", self._slot, "MIGRATING", self._target.say("CLUSTER", "MYID"))

    def carry(self, *keys: str) -> None:
        """Brings keys over, if they are there."""
        self._source.say("MIGRATE", "127.0.0.1", self._target.port, "", 0, 5000, "KEYS", *keys)

    def carry_all(self) -> None:
        while keys := self._source.say("CLUSTER", "GETKEYSINSLOT", self._slot, 10):
            self.carry(*keys)

    def end(self) -> None:
        """Tells the target first: a moment without an owner would lose the slot."""
        owner = self._target.say("CLUSTER", "MYID")
        for server in (self._target, self._source, *self._cluster.masters()):
            server.say("CLUSTER", "SETSLOT", self._slot, "NODE", owner)
